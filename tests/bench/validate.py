"""What it costs to hold one event to the language: from bytes to an `Event`, in process, on one core."""

import json
import sys
import time
from typing import Any

import msgspec

from schemas.examples import examples
from services.kernel.clock import utc_now
from services.lifecycle.door import parse
from tests.bench.meter import ANSWER


def bodies(kind: str) -> list[bytes]:
    """Requests as senders write them: an activity of 450 bytes of data, or every type of the catalogue in turn."""
    now = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind == "every type":
        return [msgspec.json.encode({**each, "time": now}) for each in examples().values()]
    return [msgspec.json.encode({**examples()[kind, 1], "time": now})]


def cost(kind: str, seconds: float) -> dict[str, Any]:
    """`us`: microseconds of CPU for one event; `rate`: events a second."""
    given = bodies(kind)
    for raw in given * 50:
        parse(raw)
    events = 0
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        for raw in given:
            parse(raw)
        events += len(given)
    used = time.process_time() - used
    return {"rate": events / used, "us": used / events * 1e6, "seconds": seconds}


if __name__ == "__main__":
    print(ANSWER + json.dumps(cost(**json.loads(sys.argv[2]))), flush=True)
