"""The embedded broker: it starts empty, ends when asked to, and does not stay behind."""

import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.cli.embedded_broker import EmbeddedBroker
from services.cli.machine import PortBusy, free_port, port_is_free
from tests.support.brokers import create_topic


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedBroker:
    return EmbeddedBroker(tmp_path / "broker", free_port())


async def test_what_is_produced_is_consumed(embedded: EmbeddedBroker) -> None:
    embedded.start()
    try:
        await create_topic(embedded, "deals", partitions=3)
        producer = AIOKafkaProducer(bootstrap_servers=embedded.bootstrap, enable_idempotence=False)
        await producer.start()
        await producer.send_and_wait("deals", b"won", partition=2)
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=embedded.bootstrap, enable_auto_commit=False)
        await consumer.start()
        consumer.assign([TopicPartition("deals", 2)])
        consumer.seek(TopicPartition("deals", 2), 0)
        assert (await consumer.getone()).value == b"won"
        await consumer.stop()
    finally:
        embedded.stop()


def test_a_broker_left_by_a_run_that_crashed_is_stopped_by_the_next_start(embedded: EmbeddedBroker) -> None:
    embedded.start()
    assert embedded.process is not None
    left = embedded.process
    second = EmbeddedBroker(embedded.folder, embedded.port)
    try:
        second.start()
        assert left.wait(5) is not None
        assert second.running()
    finally:
        second.stop()
    assert port_is_free(embedded.port)


def test_a_busy_port_is_named_with_the_setting_that_changes_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"{port}.*SALESCYCLE_UP__BROKER_PORT="):
            EmbeddedBroker(tmp_path / "broker", port).start()


def test_a_kill_loses_everything_and_a_start_brings_an_empty_one_back(embedded: EmbeddedBroker) -> None:
    embedded.start()
    embedded.kill9()
    assert not embedded.running()
    embedded.start()
    assert embedded.running()
    embedded.stop()
