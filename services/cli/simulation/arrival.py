"""Lines in the order in which they arrive, however many there are: sorted in runs that fit into memory, then merged.

A lead is told in one go, years of it, so what is in flight grows with the company. Memory holds one run and a buffer of
each spooled one; a spool is a file that its maker deletes.
"""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import BinaryIO, Final

from services.cli.simulation.telling import KEY_LENGTH

RUN_LINES: Final = 50_000
"""About 30 MB."""
OPEN_RUNS: Final = 64
"""More runs than this are merged into one first: a process may open only so many files."""


def in_order(
    batches: Iterable[list[bytes]], spool: Callable[[], BinaryIO], *, run_lines: int = RUN_LINES
) -> Iterator[bytes]:
    """The lines of all batches by arrival, each with its newline and without its key.

    `spool` gives an empty file, open for writing and reading; it is asked for none where one run holds everything.
    """
    run: list[bytes] = []
    spooled: list[list[BinaryIO]] = []
    for batch in batches:
        run += batch
        if len(run) >= run_lines:
            run.sort()
            _keep(spooled, 0, run, spool)
            run = []
    run.sort()
    files = [each for level in spooled for each in level]
    try:
        for line in merge(run, *map(_rewound, files)):
            yield line[KEY_LENGTH:]
    finally:
        for each in files:
            each.close()


def _keep(spooled: list[list[BinaryIO]], level: int, lines: Iterable[bytes], spool: Callable[[], BinaryIO]) -> None:
    """Write a sorted run; a level that is full becomes one run of the next."""
    file = spool()
    file.writelines(lines)
    if len(spooled) == level:
        spooled.append([])
    spooled[level].append(file)
    if len(spooled[level]) == OPEN_RUNS:
        full, spooled[level] = spooled[level], []
        _keep(spooled, level + 1, merge(*map(_rewound, full)), spool)
        for each in full:
            each.close()


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file
