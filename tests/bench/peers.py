"""Peers that bring libraries of their own: runs in the environment made from requirements.txt beside it, on threads."""

import threading
import time
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from tests.bench.history import activity
from tests.bench.meter import Meter, main

WARM_UP_S = 0.7


def measure(callers: int, seconds: float, work: Callable[[int], Callable[[], None]]) -> dict[str, Any]:
    """Every thread calls what `work` made for it until the time is over."""
    latencies: list[list[float]] = [[] for _ in range(callers)]
    failed: list[BaseException] = []

    def run(index: int, once: Callable[[], None], until: float) -> None:
        try:
            while time.perf_counter() < until:
                began = time.perf_counter()
                once()
                latencies[index].append(time.perf_counter() - began)
        except BaseException as error:  # noqa: BLE001  told below, in the main thread
            failed.append(error)

    calls = [work(index) for index in range(callers)]

    def all_until(until: float) -> None:
        threads = [threading.Thread(target=run, args=(index, call, until)) for index, call in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    all_until(time.perf_counter() + WARM_UP_S)
    for each in latencies:
        each.clear()
    with Meter() as meter:
        all_until(time.perf_counter() + seconds)
    together = [latency for each in latencies for latency in each]
    return meter.answer(len(together), together)


def _bodies() -> list[bytes]:
    import json

    random = Random(1)
    return [json.dumps(activity(random), separators=(",", ":")).encode() for _ in range(400)]


def eventsourcing(
    host: str, port: int, user: str, password: str, database: str, callers: int, seconds: float
) -> dict[str, Any]:
    """The default recorder of PyPI `eventsourcing`: it locks its table, so that its numbering is the order of commits."""
    from eventsourcing.persistence import StoredEvent  # type: ignore[import-not-found]  # of the peers' environment
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore  # type: ignore[import-not-found]

    store = PostgresDatastore(
        dbname=database, host=host, port=str(port), user=user, password=password,
        pool_size=callers, max_overflow=4, connect_timeout=30,
    )  # fmt: skip
    recorder = PostgresApplicationRecorder(store)
    recorder.create_table()
    bodies = _bodies()

    def work(index: int) -> Callable[[], None]:
        place: dict[str, Any] = {"stream": uuid.uuid4(), "version": 0}

        def once() -> None:
            if place["version"] == 10:
                place.update(stream=uuid.uuid4(), version=0)
            place["version"] += 1
            event = StoredEvent(
                originator_id=place["stream"], originator_version=place["version"], topic="sales:ActivityLogged",
                state=bodies[place["version"] * (index + 7) % len(bodies)],
            )  # fmt: skip
            recorder.insert_events([event])

        return once

    try:
        return measure(callers, seconds, work)
    finally:
        store.close()


def umadb(address: str, callers: int, seconds: float) -> dict[str, Any]:
    """UmaDB over its gRPC client, with a condition of uniqueness on each event."""
    import umadb as uma  # type: ignore[import-not-found]

    bodies = _bodies()

    def work(index: int) -> Callable[[], None]:
        client = uma.Client(address)
        number = index

        def once() -> None:
            nonlocal number
            number += 1
            tag = f"lead/{uuid.uuid4()}"
            event = uma.Event(event_type="ActivityLogged", data=bodies[number % len(bodies)], tags=[tag])
            only_if_new = uma.AppendCondition(
                fail_if_events_match=uma.Query(items=[uma.QueryItem(tags=[tag])]), after=None
            )
            client.append([event], only_if_new)

        return once

    return measure(callers, seconds, work)


if __name__ == "__main__":
    main({"eventsourcing": eventsourcing, "umadb": umadb}, lambda measured: measured)
