"""The TUI. Textual is imported here and nowhere else.

Textual reads its settings when it is imported, so the defaults are set here, before any module of
this package can import it. What the operator has set in the environment wins.
"""

import os

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
if "SSH_CONNECTION" in os.environ:
    # At 60 frames a second held keys cost 2.5 times the bytes that they cost at 15.
    os.environ.setdefault("TEXTUAL_FPS", "15")
