"""How what happened is reported: mostly at once, sometimes days late, twice, or wrongly and mended afterwards.

It draws from a sequence of its own, so that the reports can change nothing of what they report. A line begins with the
instant at which it arrives, as text that sorts; `arrival` takes that off again.
"""

from collections import Counter
from typing import Any, Final

import msgspec

from services.cli.simulation.chance import Chance
from services.cli.simulation.days import DAY, HOUR, Period

LATE: Final = 0.04
TWICE: Final = 0.01
WRONG: Final = 0.03
"""Share of the events that can be wrong that are, and are corrected within days."""
KEY_LENGTH: Final = 18
"""Characters at the start of a line that say when it arrives: eleven of seconds, seven of its number in the family."""

_encode = msgspec.json.Encoder().encode


class Teller:
    """Writes the events of one family after another, and counts them."""

    def __init__(self, period: Period, company: str, name: str) -> None:
        self.types: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()
        self._period = period
        self._company = company
        self._name = name
        self._family = ""
        self._chance = Chance(name)
        self._lines: list[bytes] = []
        self._number = 0

    def begin(self, family: str) -> None:
        self._family = family
        self._chance = Chance(f"{self._name}:{family}")
        self._lines = []
        self._number = 0

    def lines(self) -> list[bytes]:
        """What was told since `begin`."""
        return self._lines

    def tell(
        self,
        source: str,
        kind: str,
        subject: str,
        at: int,
        data: dict[str, Any],
        *,
        zone: str | None = None,
        day: bool = False,
        late: bool = True,
        wrong: dict[str, Any] | None = None,
    ) -> bool:
        """One event; `at` is when it happened, for one known to the `day` alone the last second of that day there.

        `wrong`: what may be said by mistake in place of `data`, and is then corrected. True: it arrives a day late or more.
        """
        period, chance = self._period, self._chance
        if wrong is not None and chance.happens(WRONG):
            fixed = at + DAY + chance.number(0, 4 * DAY)
            if fixed < period.end:
                delayed = self._send(source, kind, subject, at, wrong, zone, day=day, late=late)
                about = {"source": self._source(source), "id": self._id()}
                correction = {"corrects": about, "data": data}
                self._send(source, "EventCorrected", subject, fixed, correction, None, day=False, late=False)
                self.facts["corrected"] += 1
                return delayed
        return self._send(source, kind, subject, at, data, zone, day=day, late=late)

    def tell_by_mistake(self, source: str, kind: str, subject: str, at: int, data: dict[str, Any]) -> None:
        """An event that never was, and its retraction; nothing where the period would end in between."""
        taken_back = at + 2 * HOUR + self._chance.number(0, 3 * DAY)
        if taken_back < self._period.end:
            self._send(source, kind, subject, at, data, None, day=False, late=False)
            about = {"source": self._source(source), "id": self._id()}
            self._send(source, "EventRetracted", subject, taken_back, {"corrects": about}, None, day=False, late=False)
            self.facts["retracted"] += 1

    def _source(self, source: str) -> str:
        return f"/simulated/{self._company}/{source}"

    def _id(self) -> str:
        """Of the event that was told last."""
        return f"{self._family}-{self._number}"

    def _send(
        self,
        source: str,
        kind: str,
        subject: str,
        at: int,
        data: dict[str, Any],
        zone: str | None,
        *,
        day: bool,
        late: bool,
    ) -> bool:
        period, draw = self._period, self._chance.draw
        assert period.start <= at < period.end, "the period is all there is"
        self._number += 1
        self.types[kind] += 1
        arrives = at + 1 + int(draw() * 90)
        if late and draw() < LATE:
            arrives += DAY + int(self._chance.exponential() * 4 * DAY)
        arrives = min(arrives, period.end - 1)
        delayed = arrives - at >= DAY
        extra = ""
        if day:
            assert zone is not None
            local = period.local_day(zone, at)
            offset = period.offset(zone, local)
            time = f"{period.day(local)}T00:00:00{offset:+03}:00" if offset else f"{period.day(local)}T00:00:00Z"
            extra = '"timeprecision":"day",'
            self.facts["day_precision"] += 1
        else:
            time = period.instant(at) if zone is None else period.local_instant(zone, at)
        if kind == "CampaignCostRecorded":
            extra = '"dataschema":"/schemas/CampaignCostRecorded/2",'
        text = (
            f'{{"specversion":"1.0","id":"{self._family}-{self._number}","source":"/simulated/{self._company}/{source}",'
            f'"type":"{kind}","subject":"{subject}","time":"{time}",{extra}"datacontenttype":"application/json","data":'
        )
        event = text.encode() + _encode(data) + b"}\n"
        self._lines.append(b"%011d%07d" % (arrives, self._number) + event)
        self.facts["late"] += delayed
        if draw() < TWICE:
            again = min(arrives + 1 + int(draw() * 2 * DAY), period.end - 1)
            self._lines.append(b"%011d%07d" % (again, self._number) + event)
            self.facts["duplicates"] += 1
        return delayed
