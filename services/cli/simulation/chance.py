"""Draws that are the same on every machine and every Python.

Only `Random.random()` is promised to stay the same for a seed, so everything is made of it by comparison, addition and
multiplication, which IEEE 754 fixes to the last bit; logarithms and sums of floats are not, and are not used.
"""

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

Choice = TypeVar("Choice")


class Weighted:
    """Things to choose from, each with a whole weight."""

    __slots__ = ("_bounds", "_things", "_total")

    def __init__(self, weights: dict[str, int]) -> None:
        self._things = tuple(weights)
        self._bounds = tuple(accumulate(weights.values()))
        self._total = self._bounds[-1]

    def at(self, draw: float) -> str:
        """The thing at a draw of [0, 1)."""
        place = int(draw * self._total)
        for thing, bound in zip(self._things, self._bounds, strict=True):
            if place < bound:
                return thing
        return self._things[-1]


class Chance:
    """One sequence of draws, for ever the same for the same name."""

    __slots__ = ("draw",)

    def __init__(self, name: str) -> None:
        self.draw = Random(name).random  # noqa: S311  a repeatable sequence is what is wanted

    def happens(self, share: float) -> bool:
        """True in that share of cases."""
        return self.draw() < share

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.draw() * (high - low + 1))

    def pick(self, things: Sequence[Choice]) -> Choice:
        return things[int(self.draw() * len(things))]

    def of(self, weighted: Weighted) -> str:
        return weighted.at(self.draw())

    def exponential(self) -> float:
        """A waiting time of constant hazard and mean 1, by von Neumann's comparisons (1951), which need no logarithm.

        Of runs of falling draws those of odd length are kept; each run that is thrown away adds one.
        """
        whole = 0
        while True:
            first = last = self.draw()
            length = 1
            while (following := self.draw()) < last:
                last = following
                length += 1
            if length % 2:
                return whole + first
            whole += 1

    def waiting_days(self, mean: int) -> int:
        """Whole days of constant hazard, of that mean."""
        return int(self.exponential() * mean)
