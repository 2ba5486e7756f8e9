"""The whole log of a running lifecycle by plain HTTP, read without the kit: what a subscriber must have in the end."""

from typing import Any

import httpx
import msgspec

from tests.support.processes import Processes, ServiceProcess

Line = tuple[int, int, str]
"""Partition, position, id."""


def whole_log(process: ServiceProcess, processes: Processes) -> dict[int, list[dict[str, Any]]]:
    """The structured events of each of the 12 partitions, in order of position."""
    found: dict[int, list[dict[str, Any]]] = {}
    with httpx.Client(base_url=process.url, headers=processes.headers, timeout=30) as http:
        for partition in range(12):
            events: list[dict[str, Any]] = []
            while True:
                answer = http.get(f"/v1/log/{partition}", params={"after": len(events), "limit": 5_000})
                assert answer.status_code == 200, answer.text
                lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
                events += lines
                if len(events) >= int(answer.headers["log-head"]):
                    break
            assert [event["position"] for event in events] == list(range(1, len(events) + 1))
            found[partition] = events
    return found


def ids(log: dict[int, list[dict[str, Any]]]) -> dict[int, list[str]]:
    return {partition: [event["id"] for event in events] for partition, events in log.items() if events}
