"""One running system for all tests of a module: a database, a broker, a lifecycle. Its log grows from test to test."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.cli import machine
from services.cli.embedded import EmbeddedPostgres
from services.cli.embedded_broker import EmbeddedBroker
from tests.support import brokers
from tests.support.brokers import Broker, GivenBroker, create_topic
from tests.support.postgres import new_name
from tests.support.processes import Processes, ServiceProcess


class Started:
    """`lifecycle` may be killed and started again, and so may a `broker` of ours; leave both running."""

    def __init__(self, processes: Processes, lifecycle: ServiceProcess, broker: Broker, topic: str) -> None:
        self.processes = processes
        self.lifecycle = lifecycle
        self.broker = broker
        self.topic = topic

    @property
    def url(self) -> str:
        return self.lifecycle.url

    @property
    def key(self) -> str:
        return self.processes.key

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.processes.headers, timeout=30)

    def post(self, events: Sequence[dict[str, Any]]) -> None:
        """Post the documents in batches, as a client without the kit does."""
        with self.http() as http:
            for start in range(0, len(events), 1_000):
                content = msgspec.json.encode(events[start : start + 1_000])
                answer = http.post(
                    "/v1/events", content=content, headers={"content-type": "application/cloudevents-batch+json"}
                )
                assert {item["status"] for item in answer.json()} <= {200, 201}, answer.text

    def log(self) -> dict[int, list[dict[str, Any]]]:
        """The structured events of each of the 12 partitions in order of position, read without the kit."""
        found: dict[int, list[dict[str, Any]]] = {}
        with self.http() as http:
            for partition in range(12):
                events = found[partition] = []
                while True:
                    answer = http.get(f"/v1/log/{partition}", params={"after": len(events), "limit": 5_000})
                    assert answer.status_code == 200, answer.text
                    events += [msgspec.json.decode(line) for line in answer.content.splitlines()]
                    if len(events) >= int(answer.headers["log-head"]):
                        break
                assert [event["position"] for event in events] == list(range(1, len(events) + 1))
        return found

    def ids(self) -> dict[int, list[str]]:
        """The ids of the events of each partition that has any, in order."""
        return {partition: [event["id"] for event in events] for partition, events in self.log().items() if events}

    def total(self) -> int:
        return sum(map(len, self.log().values()))


@contextmanager
def started(folder: Path, postgres: EmbeddedPostgres) -> Iterator[Started]:
    broker: Broker
    if given := os.environ.get("SALESCYCLE_TEST_KAFKA"):
        broker = GivenBroker(given)
    else:
        broker = EmbeddedBroker(folder / "broker", machine.free_port())
        broker.start()
    name, topic = new_name(), f"{new_name()}.events.v1"
    settings = {
        "SALESCYCLE_POSTGRES__URL": postgres.create_database(name),
        "SALESCYCLE_KAFKA__EVENTS_TOPIC": topic,
        **brokers.environment(broker),
    }
    processes = Processes(folder / "processes", settings)
    try:
        processes.salescycle("migrate")
        if given:
            asyncio.run(create_topic(broker, topic))
        yield Started(processes, processes.lifecycle(), broker, topic)
    finally:
        processes.close()
        if isinstance(broker, EmbeddedBroker):
            broker.stop()
        postgres.drop_database(name)
