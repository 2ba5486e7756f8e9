"""What an import has done so far: the figures of the progress line and of the summary."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`new` events were stored now, `known` ones were there already, `refused` ones nowhere; the rest is under way.

    `kept` of the known ones are told otherwise by the row than before; the first telling stands. `anomalous` events were stored and contradict what is known of their lead. `waiting` says for what, while nothing moves.
    """

    rows: int = 0
    rows_refused: int = 0
    rows_silent: int = 0
    new: int = 0
    known: int = 0
    kept: int = 0
    refused: int = 0
    anomalous: int = 0
    types: Counter[str] = field(default_factory=Counter)
    waiting: str = ""

    def summary(self, seconds: float) -> str:
        """One line, for people and for tests: `8,800 rows: 24,011 new, 0 known, 0 refused …`."""
        parts = [f"{self.new:,} new, {self.known:,} known"]
        if self.kept:
            parts.append(f"{self.kept:,} of them told otherwise now (the first telling stands)")
        if self.anomalous:
            parts.append(f"{self.anomalous:,} contradict what is known of their lead (stored all the same)")
        if self.rows_silent:
            parts.append(f"{self.rows_silent:,} rows gave no event")
        parts.append(f"{self.rows_refused:,} rows refused")
        pace = f"{self.rows / seconds:,.0f} rows/s" if seconds > 0 else ""
        return f"{self.rows:,} rows: {'; '.join(parts)} ({seconds:.1f} s, {pace})"
