"""The practice process: a map worth teaching, with words for its parts, that can be advised without harm.

It stands apart: standard library only, and nothing else of memtui. ``python -I -m memtui.practice``
runs it; :mod:`memtui.practice.link` starts it and talks to it.
"""
