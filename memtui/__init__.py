"""memtui: where a Linux machine's memory lies, advice about it from outside, and what came of it."""

__version__ = "0.1.0"
