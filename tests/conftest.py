"""Fixtures of real servers. A test in tests/unit or tests/arch that asks for one fails: those folders need nothing running."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from services.cli import machine
from services.cli.apache_kafka import ApacheKafka
from services.cli.embedded import EmbeddedPostgres
from services.cli.embedded_broker import EmbeddedBroker
from tests.support import brokers
from tests.support import postgres as postgres_support
from tests.support.brokers import Broker, GivenBroker
from tests.support.processes import Processes

ISOLATED = ("unit", "arch")
SERVERS = {"postgres", "own_postgres", "database", "broker", "processes", "apache_kafka", "apache_kafka_of_three"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        asked = SERVERS.intersection(getattr(item, "fixturenames", ()))
        if folder in ISOLATED and asked:
            raise pytest.UsageError(
                f"{item.nodeid} asks for {', '.join(sorted(asked))}: a test in tests/{folder} needs nothing running"
            )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL server of the session, shared by all test processes. Do not stop it: take `own_postgres` for that."""
    together = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        together = together.parent
    with postgres_support.shared_server(together / "postgres.shared") as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of this test alone, which it may crash; started."""
    folder = postgres_support.new_folder()
    server = postgres_support.new_server(folder / "postgres")
    server.start()
    yield server
    postgres_support.delete(folder)


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database of this test alone, dropped afterwards."""
    name = postgres_support.new_name()
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """An empty embedded broker of this test alone, running; or the one named by SALESCYCLE_TEST_KAFKA."""
    if given := os.environ.get("SALESCYCLE_TEST_KAFKA"):
        yield GivenBroker(given)
        return
    embedded = EmbeddedBroker(tmp_path / "broker", machine.free_port())
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One broker of Apache Kafka for the session; for tests marked `kafka`. Put it back when you killed it."""
    yield from _cluster(tmp_path_factory, 1)


@pytest.fixture(scope="session")
def apache_kafka_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Three brokers of Apache Kafka for the session, replication factor 3; for tests marked `kafka`."""
    yield from _cluster(tmp_path_factory, 3)


def _cluster(folders: pytest.TempPathFactory, brokers: int) -> Iterator[ApacheKafka]:
    cluster = ApacheKafka(folders.mktemp(f"kafka-{brokers}"), brokers=brokers)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def topic() -> str:
    """A topic name of this test alone: on a broker that outlives the test, topics of others are in the way."""
    return f"{postgres_support.new_name()}.events.v1"


@pytest.fixture
def processes(tmp_path: Path, database: str, broker: Broker, topic: str) -> Iterator[Processes]:
    """Starts services on the database, broker and topic of this test; nothing is migrated and no topic made yet."""
    settings = {
        "SALESCYCLE_POSTGRES__URL": database,
        "SALESCYCLE_KAFKA__EVENTS_TOPIC": topic,
        "SALESCYCLE_KAFKA__LEADS_TOPIC": brokers.leads_topic_of(topic),
        **brokers.environment(broker),
    }
    started = Processes(tmp_path / "processes", settings)
    yield started
    started.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    started = getattr(item, "funcargs", {}).get("processes")
    if report.failed and isinstance(started, Processes):
        report.sections.extend(started.logs())
    return report
