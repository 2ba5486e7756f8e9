"""Rows of a file into events of the log, by a declarative mapping. `docs/import.md` shows how to write one."""
