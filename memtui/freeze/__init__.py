"""Holding a process still, in such a way that it never stays so."""
