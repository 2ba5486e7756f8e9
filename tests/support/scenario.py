"""given(...).when(...).then(...) for leads: what is known, what happens, what follows.

given(CAPTURED).when(WON).then(outcome="won").implying("Qualified")

Every scenario also folds the same events in every order of arrival that keeps their business order, and through JSON, so
that each one tests the codec, the refold and totality for free.
"""

from typing import Any

import msgspec
import pytest

from schemas.codec import parse_event
from schemas.envelope import Event
from schemas.lead import Lead
from schemas.pipelines import Pipelines
from services.kernel.decider import Verdict
from services.kernel.errors import Flaw, Invalid
from services.lifecycle.domain.lead import LeadDecider
from tests.support.builders import EXAMPLES, NOW, document
from tests.support.logs import PIPELINES, SMALLEST


def happened(
    type_name: str, day: int, *, lead: str = "L-1", data: dict[str, Any] | None = None, **attributes: Any
) -> Event:
    """An event at 10:00 of a day in January 2026, with the smallest data of its type."""
    chosen = SMALLEST.get(type_name, EXAMPLES[type_name]) if data is None else data
    return parse_event(document(type_name, lead, data=chosen, at=f"2026-01-{day:02}T10:00:00Z", **attributes), NOW)


class Outcome:
    """What followed from the last event."""

    def __init__(self, lead: Lead, verdict: Verdict) -> None:
        self.lead = lead
        self.verdict = verdict

    def then(self, **expected: Any) -> "Outcome":
        """The lead has exactly these values; money is compared by its amount."""
        found = {name: _plain(getattr(self.lead, name)) for name in expected}
        assert found == expected
        return self

    def normally(self) -> "Outcome":
        assert self.verdict == Verdict()
        return self

    def implying(self, *types: str) -> "Outcome":
        assert (self.verdict.implied, self.verdict.anomaly) == (types, None)
        return self

    def anomalously(self, words: str) -> "Outcome":
        assert self.verdict.anomaly is not None, "it was judged normal"
        assert words in self.verdict.anomaly
        return self


class Given:
    """A lead of which `events` are known, in this order of arrival."""

    def __init__(self, events: tuple[Event, ...], pipelines: Pipelines = PIPELINES) -> None:
        self._events = events
        self._decider = LeadDecider(pipelines)
        self._pipelines = pipelines

    def when(self, *events: Event) -> Outcome:
        """What happens arrives in this order; the outcome is that of the last."""
        arrived = (*self._events, *events)
        lead, verdict = Lead(), Verdict()
        for version, event in enumerate(arrived, 1):
            fact = self._decider.fact(event, version)
            self._decider.refuse(lead, event, fact)
            before, lead = lead, self._fold(arrived[:version])
            verdict = self._decider.verdict(before, lead, fact)
        assert self._decider.decode(self._decider.encode(lead)) == lead
        late_first = sorted(range(len(arrived)), key=lambda n: self._decider.fact(arrived[n], n + 1).key, reverse=True)
        backwards = self._fold([arrived[n] for n in late_first])
        ignored = {"anomalies": ()}  # they name versions, which are given on arrival
        assert msgspec.structs.replace(backwards, **ignored) == msgspec.structs.replace(lead, **ignored)
        return Outcome(lead, verdict)

    def when_refused(self, event: Event) -> list[Flaw]:
        lead = self._fold(self._events)
        with pytest.raises(Invalid) as refused:
            self._decider.refuse(lead, event, self._decider.fact(event, len(self._events) + 1))
        return list(refused.value.errors)

    def _fold(self, events: "list[Event] | tuple[Event, ...]") -> Lead:
        return self._decider.fold([self._decider.fact(event, version) for version, event in enumerate(events, 1)])


def given(*events: Event) -> Given:
    return Given(events)


def _plain(value: Any) -> Any:
    return value.amount if hasattr(value, "amount") else value
