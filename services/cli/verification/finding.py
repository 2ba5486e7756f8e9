"""What a comparison finds: a difference with its place, or how much was compared and found equal."""

from collections.abc import Callable
from typing import NamedTuple


class Difference(NamedTuple):
    """One thing that is not as it should be: where (a sentence's subject) and what."""

    where: str
    what: str


Progress = Callable[[str, int, int], None]
"""Called with (what is compared, done, total)."""
