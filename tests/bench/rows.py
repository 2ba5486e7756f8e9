"""The rows: what is measured in turns, and the goals."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from statistics import median
from typing import Any, NamedTuple

import uvloop

from services.cli import machine
from services.kernel.clock import utc_now
from services.projections.metrics import METRICS
from services.projections.models import MODELS
from services.projections.query.metric import Metric
from tests.bench.figures import PLAIN
from tests.bench.load import installed as wrk_installed
from tests.bench.place import Place
from tests.bench.report import Goal, Measured, Row, Variant
from tests.support.logs import prepare
from tests.support.processes import ROOT, Processes, ServiceProcess, wait_until

HISTORY_EVENTS = 200_000
FIGURES_LEADS = 20_000
"""What fits into minutes. A million, as the goals say, takes some hours: SALESCYCLE_BENCH_LEADS=1000000."""
FIGURES_PATIENCE_S = 6 * 3600

RowOf = Callable[[Place, float], AbstractContextManager[Row]]
ROWS: dict[str, RowOf] = {}


def _row(make: Callable[[Place, float], Iterator[Row]]) -> RowOf:
    made: RowOf = contextmanager(make)
    ROWS[make.__name__] = made
    return made


@_row
def append(place: Place, seconds: float) -> Iterator[Row]:
    """In process, one event a call, all guarantees."""
    url = place.database("append")
    uvloop.run(prepare(url))
    plain = place.database("plain")
    message_db = place.database("message_store")
    yield Row(
        "append in process",
        [
            Variant("ours, 256 callers", lambda: place.run("append", "committer", url=url, callers=256, seconds=seconds)),
            Variant("INSERT of 1,000, version check", lambda: place.run("append", "plain", url=plain, how="insert", rows=1_000, connections=1, seconds=seconds)),
            Variant("COPY of 1,000", lambda: place.run("append", "plain", url=plain, how="copy", rows=1_000, connections=1, seconds=seconds)),
            Variant("ours, 64 callers", lambda: place.run("append", "committer", url=url, callers=64, seconds=seconds)),
            Variant("UmaDB, 64 callers", lambda: place.umadb(64, seconds)),
            Variant("eventsourcing, 8 callers", lambda: place.eventsourcing("eventsourcing", 8, seconds)),
            Variant("message-db, one category, 8 callers", lambda: place.run("append", "message_db", url=message_db, package=place.message_db(), callers=8, seconds=seconds)),
        ],
        [
            Goal("append, 256 callers", "ours, 256 callers", "INSERT of 1,000, version check", 0.7),
            Goal("append, 256 callers", "ours, 256 callers", "eventsourcing, 8 callers", 10),
            Goal("append, 256 callers", "ours, 256 callers", "message-db, one category, 8 callers", 4),
            Goal("append, 64 callers", "ours, 64 callers", "UmaDB, 64 callers", 1),
            Goal("append, 256 callers", "ours, 256 callers", "COPY of 1,000", 0, shown_only=True),
        ],
    )  # fmt: skip


@_row
def validate(place: Place, seconds: float) -> Iterator[Row]:
    """From the bytes of a request to an event that may enter the log: I-JSON, schema, meaning."""
    kinds = ("ActivityLogged", "LeadCaptured", "Won", "every type")
    yield Row(
        "validation of one event",
        [Variant(kind, lambda kind=kind: place.run("validate", "cost", kind=kind, seconds=seconds)) for kind in kinds],  # type: ignore[misc]
        [Goal(f"validation, {kind}, us of CPU", kind, None, 10, field="us", at_most=True) for kind in kinds],
    )


@_row
def http(place: Place, seconds: float) -> Iterator[Row]:
    """One event a request, 64 connections, durable."""
    with (
        _door(place, "http") as (port, key, pid),
        _other(place, "only-parse", "") as noop,
        _other(place, "fastapi", place.database("fastapi")) as fastapi,
    ):
        ours: list[float] = []

        def load(at: int, server: int, party: str) -> Measured:
            task = "wrk" if wrk_installed() else "closed"
            return place.run("load", task, parties={party: [server]}, port=at, key=key, connections=64, seconds=seconds)

        def our_door() -> Measured:
            found = load(port, pid, "lifecycle")
            ours.append(found["rate"])
            return found

        def at_half() -> Measured:
            rate = median(ours) / 2
            return place.run(
                "load",
                "paced",
                parties={"lifecycle": [pid]},
                port=port,
                key=key,
                connections=64,
                seconds=seconds,
                rate=rate,
            )

        client = "wrk" if wrk_installed() else "our asyncio client"
        yield Row(
            f"HTTP, single event, 64 connections, by {client}",
            [
                Variant("our door", our_door),
                Variant("same server, only parses", lambda: load(noop.port, noop.pid, "service")),
                Variant("our door at half that load (open loop)", at_half),
                Variant("FastAPI, one transaction a request", lambda: load(fastapi.port, fastapi.pid, "service")),
                Variant("UmaDB over gRPC, 64 callers", lambda: place.umadb(64, seconds)),
            ],
            [
                Goal("HTTP single", "our door", "same server, only parses", 0.45),
                Goal("HTTP single", "our door", "FastAPI, one transaction a request", 5),
                Goal("HTTP single, p99 at half load, ms", "our door at half that load (open loop)", None, 10, field="p99_ms", at_most=True),
                Goal("HTTP single", "our door", "UmaDB over gRPC, 64 callers", 0.6, shown_only=True),
            ],
        )  # fmt: skip


@_row
def batch(place: Place, seconds: float) -> Iterator[Row]:
    """500 events a request, four connections."""
    plain = place.database("plain")
    with _door(place, "batch") as (port, key, pid):
        yield Row(
            "HTTP, batches of 500, 4 connections",
            [
                Variant("our door", lambda: place.run("load", "closed", parties={"lifecycle": [pid]}, port=port, key=key, connections=4, seconds=seconds, batch=500)),
                Variant("COPY of 500", lambda: place.run("append", "plain", url=plain, how="copy", rows=500, connections=1, seconds=seconds)),
            ],
            [Goal("HTTP batch of 500", "our door", "COPY of 500", 0.5)],
        )  # fmt: skip


@_row
def follow(place: Place, seconds: float) -> Iterator[Row]:
    """Relay, live read model and rebuild on one standing log of 200,000 events."""
    url = place.database("follow")
    services = place.processes("follow", url)
    services.salescycle("migrate")
    events = place.run("follow", "fill", url=url, events=HISTORY_EVENTS)["events"]
    topic = "bench-filled"
    place.run("follow", "produce", url=url, bootstrap=place.broker.bootstrap, events=events, topic=topic)
    numbers = count()
    lifecycle = services.lifecycle(SALESCYCLE_KAFKA__EVENTS_TOPIC="bench-unused")
    try:
        broker = place.broker.bootstrap
        yield Row(
            f"following a log of {events:,} events",
            [
                Variant("relay", lambda: place.run("follow", "relay", url=url, bootstrap=broker, events=events)),
                Variant("bare produce, same client", lambda: place.run("follow", "produce", url=url, bootstrap=broker, events=events, topic=f"bare-{next(numbers)}")),
                Variant("read model, live from the topic", lambda: place.run("follow", "live", url=url, bootstrap=broker, topic=topic, events=events)),
                Variant("read model, rebuild from the feed", lambda: place.run("follow", "rebuild", parties={"lifecycle": [lifecycle.pid]}, url=url, feed=lifecycle.url, key=services.key, events=events)),
            ],
            [
                Goal("relay", "relay", "bare produce, same client", 0.8),
                Goal("read model, live", "read model, live from the topic", None, 30_000),
                Goal("read model, rebuild", "read model, rebuild from the feed", None, 60_000),
            ],
        )  # fmt: skip
    finally:
        services.close()


@_row
def visible(place: Place, seconds: float) -> Iterator[Row]:
    """From POST to the query, 200 events a second."""
    with _door(place, "visible") as (port, key, pid), _projections(place, "visible") as projections:
        parties = {"lifecycle": [pid], "projections": [projections.pid]}
        yield Row(
            "POST to visible in GET /v1/pipeline, 200 events/s",
            [Variant("ours", lambda: place.run("load", "visible", parties=parties, door=port, query=projections.port, key=key, rate=200, probes=20, seconds=max(seconds, 5)))],
            [
                Goal("POST to visible, p50, ms", "ours", None, 25, field="p50_ms", at_most=True),
                Goal("POST to visible, p99, ms", "ours", None, 100, field="p99_ms", at_most=True),
            ],
        )  # fmt: skip


@_row
def figures(place: Place, seconds: float) -> Iterator[Row]:
    """A simulated company of SALESCYCLE_BENCH_LEADS leads: its read models built from the feed, then every metric asked.

    SALESCYCLE_BENCH_TIMES: the questions are asked of that many such companies in one.
    """
    leads = int(os.environ.get("SALESCYCLE_BENCH_LEADS", str(FIGURES_LEADS)))
    times = int(os.environ.get("SALESCYCLE_BENCH_TIMES", "1"))
    url = place.database("figures")
    services = place.processes("figures", url)
    services.salescycle("migrate")
    filled = place.run("figures", "fill", patience_s=FIGURES_PATIENCE_S, url=url, leads=leads)
    lifecycle = services.lifecycle(SALESCYCLE_KAFKA__EVENTS_TOPIC="bench-unused")
    projections: list[ServiceProcess] = []

    def rebuilt(model: str) -> Measured:
        return place.run(
            "figures", "rebuild", patience_s=FIGURES_PATIENCE_S, parties={"lifecycle": [lifecycle.pid]},
            url=url, feed=lifecycle.url, key=services.key, model=model,
        )  # fmt: skip

    def asked(path: str, **parameters: Any) -> Measured:
        if not projections:
            if times > 1:
                place.run("figures", "multiply", patience_s=FIGURES_PATIENCE_S, url=url, times=times)
            projections.append(services.projections())
        (service,) = projections
        return place.run(
            "figures", "query", parties={"projections": [service.pid]},
            url=service.url, key=services.key, path=path, times=10, **parameters,
        )  # fmt: skip

    def plainly(which: str) -> Measured:
        return place.run("figures", "plain", url=url, which=which, times=3)

    variants = [Variant(f"rebuild of {model}", partial(rebuilt, model)) for model in MODELS]
    goals = [Goal(f"rebuild of {model}", f"rebuild of {model}", None, 40_000) for model in MODELS]
    for metric in METRICS.values():
        for case, limit_ms, parameters in _cases(metric):
            name = f"{metric.id}, {case}"
            variants.append(Variant(name, partial(asked, f"/v1/metrics/{metric.id}", **parameters)))
            goals.append(Goal(f"{name}, p99 ms", name, None, limit_ms, field="p99_ms", at_most=True))
    variants += [Variant(f"{which} as plain SQL over events", partial(plainly, which)) for which in PLAIN]
    try:
        size = f"{leads:,} leads, {filled['events']:,} events"
        yield Row(f"figures of {size}" + (f"; asked of {times} times as many" if times > 1 else ""), variants, goals)
    finally:
        services.close()


def _cases(metric: Metric) -> Iterator[tuple[str, float, dict[str, str]]]:
    """(what is asked, within how many ms, the parameters)."""
    today = utc_now().date()
    two_years = {"from": str(today - timedelta(days=730))} if metric.time == "period" else {}
    if metric.listed:
        yield "a page", 200, two_years
        return
    dimensions = {"owner", "source_channel"} & set(metric.dimensions)
    by_two = {"group_by": ",".join(sorted(dimensions))} if dimensions and metric.grouped else {}
    yield "24 months", 50, two_years
    yield "24 months by two dimensions", 50, {**two_years, **by_two}
    yield "everything by two dimensions", 200, by_two
    yield "as known 90 days ago", 500, {**two_years, "known_at": str(today - timedelta(days=90))}


# ---- what the rows stand on

_services: dict[str, Processes] = {}


@contextmanager
def _door(place: Place, name: str) -> Iterator[tuple[int, str, int]]:
    """A lifecycle service as it ships, with every lead of the load known: (port, key, process id)."""
    services = place.processes(name, place.database(name))
    _services[name] = services
    services.salescycle("migrate")
    process = services.lifecycle()
    try:
        place.run("load", "warm", port=process.port, key=services.key)
        yield process.port, services.key, process.pid
    finally:
        services.close()


@contextmanager
def _projections(place: Place, name: str) -> Iterator[ServiceProcess]:
    yield _services[name].projections()


class _Other(NamedTuple):
    port: int
    pid: int


@contextmanager
def _other(place: Place, which: str, url: str) -> Iterator[_Other]:
    port = machine.free_port()
    with (place.folder / f"{which}.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.other_doors", which, str(port), url],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_until(lambda: machine.accepts(port), 20, what=f"{which} to accept")
        yield _Other(port, server.pid)
    finally:
        server.terminate()
        server.wait(10)
