"""exclusion: a lead that was a mistake (void), or that is another one (absorbed). Pure.

From that instant on it is in no snapshot; every ratio leaves it out whatever the instant asked for: see `left_out`.
"""

from decimal import Decimal
from typing import Final

from services.projections.lead_fold import Drawn, Moment, turned
from services.projections.ledger import Row
from services.projections.tables import Ledger

LEDGER: Final = Ledger("exclusion", ("kind",))
EXCLUDED: Final = frozenset({"void", "absorbed"})
_NOTHING = Decimal(0)


class Exclusions:
    """One row from where the lead is voided or absorbed, as long as it is."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger

    def draw(self, moment: Moment, standing: tuple[Row, ...]) -> Drawn | None:
        kind = moment.after.standing
        if kind == moment.before.standing:
            return None
        rows = (Row(self._ledger, (kind,), _NOTHING, moment.at, None),) if kind in EXCLUDED else ()
        return turned(standing, rows, moment.at)
