"""A load of many leads, posted as other systems do it: in order per lead, again and again until it is acknowledged."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec

from tests.support.processes import ServiceProcess

EUR_OPEN = {"amount": "300.00", "currency": "EUR"}
EUR_WON = {"amount": "250.00", "currency": "EUR"}


def _event(type_name: str, lead: str, number: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"{lead}-{number}", "source": "/traffic", "type": type_name, "subject": f"lead/{lead}",
        "time": f"2026-01-{number:02}T10:00:00Z", "data": data,
    }  # fmt: skip


def history(number: int) -> list[dict[str, Any]]:
    """One to four events of lead `T-<number>`; what becomes of it follows from the number alone."""
    lead = f"T-{number}"
    captured = _event("LeadCaptured", lead, 1, {"source_channel": "web", "owner": f"o{number % 5}", "value": EUR_OPEN})
    qualified = _event("Qualified", lead, 2, {})
    call = _event("ActivityLogged", lead, 3, {"kind": "call", "direction": "out"})
    won = _event("Won", lead, 4, {"value": EUR_WON})
    lost = _event("Lost", lead, 4, {"reason": "price"})
    return [[captured], [captured, qualified], [captured, qualified, call, won], [captured, qualified, lost]][
        number % 4
    ]


def expected(leads: int) -> dict[tuple[str, str], tuple[int, str | None]]:
    """(outcome, stage) -> (leads, sum of values): counted from the plan, not from anything the system said."""
    n = [len(range(kind, leads, 4)) for kind in range(4)]
    return {
        ("open", "opportunity"): (n[0], f"{n[0] * 300}.00"),
        ("open", "sales-process"): (n[1], f"{n[1] * 300}.00"),
        ("won", "transaction"): (n[2], f"{n[2] * 250}.00"),
        ("lost", "sales-process"): (n[3], f"{n[3] * 300}.00"),
    }


class Traffic:
    """Posts `leads` histories over `senders` threads to whichever of `services` answers; `acknowledged` holds every 201."""

    def __init__(
        self,
        services: Sequence[ServiceProcess],
        headers: dict[str, str],
        leads: int,
        *,
        seconds: float,
        senders: int = 4,
    ) -> None:
        self._services = services
        self._headers = {**headers, "content-type": "application/cloudevents-batch+json"}
        self._leads = leads
        self._pause = seconds * senders * 25 / max(1, leads)
        self._senders = senders
        self.acknowledged: dict[str, tuple[int, int]] = {}
        """Event id -> (partition, position) of the first answer."""
        self._newest: dict[str, int] = {}
        self.tries = 0
        self._lock = threading.Lock()

    def run(self, within_s: float = 240) -> None:
        """Until everything is acknowledged. Raises AssertionError where an answer contradicts an earlier one."""
        deadline = time.monotonic() + within_s
        with ThreadPoolExecutor(self._senders) as pool:
            for done in [pool.submit(self._send, sender, deadline) for sender in range(self._senders)]:
                done.result()

    def _send(self, sender: int, deadline: float) -> None:
        rng = random.Random(sender)
        mine = list(range(sender, self._leads, self._senders))
        with httpx.Client(headers=self._headers, timeout=15) as http:
            for start in range(0, len(mine), 25):
                waiting = [event for number in mine[start : start + 25] for event in history(number)]
                while waiting:
                    assert time.monotonic() < deadline, f"{len(waiting)} events of a batch were never acknowledged"
                    waiting = self._post(http, rng, waiting)
                time.sleep(self._pause)

    def _post(self, http: httpx.Client, rng: random.Random, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What must be sent again: everything after the first that was not stored, so that each lead keeps its order."""
        self.tries += 1
        before = {lead: self._last(lead) for lead in {event["subject"] for event in events}}
        try:
            answer = http.post(f"{rng.choice(self._services).url}/v1/events", content=msgspec.json.encode(events))
        except httpx.HTTPError:
            time.sleep(0.1)
            return events
        if answer.status_code != 200:
            assert answer.status_code >= 500, answer.text
            time.sleep(0.1)
            return events
        again: list[dict[str, Any]] = []
        for event, item in zip(events, answer.json(), strict=True):
            if item["status"] >= 500:
                again.append(event)
                continue
            assert item["status"] in (200, 201), item
            with self._lock:
                place = self.acknowledged.setdefault(event["id"], (item["partition"], item["position"]))
            assert place == (item["partition"], item["position"]), f"{event['id']} was first answered {place}"
            if item["status"] == 201:
                earlier = before[event["subject"]]
                assert item["position"] > earlier, f"{event['id']} was sent after position {earlier} was acknowledged"
                self._newest[event["subject"]] = max(item["position"], self._last(event["subject"]))
        return again

    def _last(self, subject: str) -> int:
        """The highest position of the lead that was acknowledged so far; one sender posts a lead."""
        return self._newest.get(subject, 0)
