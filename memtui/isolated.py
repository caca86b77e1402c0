"""A Python process of our own, of this very memtui and of nothing else that lies beside it."""

from __future__ import annotations

import sys
from pathlib import Path

# Isolated (-I): neither the current directory nor PYTHON* say what is imported. memtui is loaded from the
# place that this module came from, so that the process is of our version, also where memtui is not
# installed. That place comes last on the path, for what memtui needs of a user's own site-packages, which
# -I leaves out: a file of a library's name beside memtui must not take the library's place.
_BOOT = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
home = sys.argv.pop(1)
spec = PathFinder.find_spec("memtui", [home])
sys.modules["memtui"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["memtui"])
home in sys.path or sys.path.append(home)
from {module} import main
sys.exit(main(sys.argv[1:]))
"""


def isolated_command(module: str) -> list[str]:
    """Return the command that runs ``main(arguments)`` of a module of ours; arguments follow it."""
    home = Path(__file__).resolve().parent.parent
    return [sys.executable, "-I", "-c", _BOOT.format(module=module), str(home)]
