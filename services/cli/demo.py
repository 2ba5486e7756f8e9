"""A small demo: a simulated company, the same ids and times whenever it is loaded, so that it is stored once."""

from datetime import date
from io import BytesIO
from typing import Final, NamedTuple

import httpx

from services.cli import machine
from services.cli.simulation import Options, Simulation, in_order

COMPANY: Final = Options(leads=120, seed=1886, start=date(2024, 1, 1), months=18)
LEADS: Final = COMPANY.leads
BATCH: Final = 500


class Loaded(NamedTuple):
    """How many events were stored now, and how many were there already."""

    stored: int
    known: int


def load(url: str, key: str) -> Loaded:
    """Post the demo to the lifecycle service at `url`, in batches of CloudEvents.

    Raises machine.CannotStart where an event is refused, with the reason.
    """
    lines = list(in_order(Simulation(COMPANY).batches(), BytesIO))
    headers = {"authorization": f"Bearer {key}", "content-type": "application/cloudevents-batch+json"}
    stored = known = 0
    with httpx.Client(headers=headers, timeout=60) as client:
        for begin in range(0, len(lines), BATCH):
            answer = client.post(f"{url}/v1/events", content=b"[" + b",".join(lines[begin : begin + BATCH]) + b"]")
            if answer.status_code != 200:
                raise machine.CannotStart(f"the demo was refused: {answer.status_code} {answer.text[:500]}")
            for result in answer.json():
                if result["status"] not in {200, 201}:
                    raise machine.CannotStart(f"an event of the demo was refused: {result}")
                stored += result["status"] == 201
                known += result["status"] == 200
    return Loaded(stored, known)
