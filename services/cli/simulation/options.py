"""What a simulation is asked for."""

from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

DEFAULT_START = date(2023, 1, 1)
DEFAULT_MONTHS = 24
LARGEST = 100_000_000
LONGEST_MONTHS = 240


class BadOptions(ValueError):
    """What is asked for cannot be simulated; the message says why."""


@dataclass(frozen=True)
class Options:
    """How many leads, by which seed, over which months. `start` is the first day of a month, as figures go by months.

    Raises BadOptions.
    """

    leads: int
    seed: int
    start: date = DEFAULT_START
    months: int = DEFAULT_MONTHS

    def __post_init__(self) -> None:
        if not 1 <= self.leads <= LARGEST:
            raise BadOptions(f"--leads must be 1 to {LARGEST:,}")
        if self.start.day != 1 or not 1990 < self.start.year < 2150:
            raise BadOptions("--start must be the first day of a month after 1990, such as 2023-01-01")
        if not 1 <= self.months <= LONGEST_MONTHS:
            raise BadOptions(f"--months must be 1 to {LONGEST_MONTHS}")

    @property
    def company(self) -> str:
        """Six characters that stand in the ids and sources of this company alone: two of them can share one system."""
        asked = f"{self.leads}:{self.seed}:{self.start}:{self.months}"
        return blake2b(asked.encode(), digest_size=3).hexdigest()
