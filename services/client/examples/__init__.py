"""Two other systems, small but whole: each is a program to run, to read and to copy from.

They use `services.client` and `schemas` as any other company's program would, and SQLite as its own database.
"""
