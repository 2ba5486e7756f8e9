"""Processes are killed, stopped, paused and started at random while a load of leads comes in; then everything is compared."""

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from tests.support.brokers import Broker
from tests.support.compared import check_figures, check_store, check_topic
from tests.support.posted_leads import Traffic, expected
from tests.support.processes import Processes, ServiceProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

LEADS = int(os.environ.get("SALESCYCLE_CHAOS_LEADS", "8800"))
SECONDS = float(os.environ.get("SALESCYCLE_CHAOS_SECONDS", "40"))


class Trouble(threading.Thread):
    """Does one of `deeds` to one of `victims` every second or two until it is told to stop; then all run again."""

    def __init__(
        self, victims: Sequence[ServiceProcess], deeds: Sequence[Callable[[ServiceProcess], None]], seed: int
    ) -> None:
        super().__init__(daemon=True)
        self._victims = victims
        self._deeds = deeds
        self._rng = random.Random(seed)
        self._enough = threading.Event()
        self.done: list[str] = []

    def run(self) -> None:
        while not self._enough.wait(0.7 + self._rng.random() * 1.5):
            victim, deed = self._rng.choice(self._victims), self._rng.choice(self._deeds)
            deed(victim)
            self.done.append(f"{deed.__name__} {victim.name}")

    def end(self) -> None:
        self._enough.set()
        self.join(60)
        for victim in self._victims:
            if not victim.running():
                victim.launch()
        for victim in self._victims:
            victim.wait_ready(60)


def kill(victim: ServiceProcess) -> None:
    victim.kill9()
    time.sleep(0.3)
    victim.launch()


def stop(victim: ServiceProcess) -> None:
    if victim.running():
        victim.terminate()
    victim.launch()


def doze(victim: ServiceProcess) -> None:
    """Longer than every lease: when it wakes it is a zombie that believes that all is as it was."""
    if victim.running():
        victim.pause()
        time.sleep(7)
        victim.resume()


async def test_kill_9_of_anything_and_a_lost_broker_during_an_import_lose_nothing(
    processes: Processes, database: str, broker: Broker, topic: str
) -> None:
    processes.salescycle("migrate")
    doors = [processes.lifecycle(), processes.lifecycle()]
    projections = processes.projections()
    trouble = Trouble([*doors, projections], [kill], seed=1)
    traffic = Traffic(doors, processes.headers, LEADS, seconds=SECONDS)

    def lose_the_broker() -> None:
        broker.kill9()
        time.sleep(1)
        broker.start()

    middle = threading.Timer(SECONDS / 2, lose_the_broker)
    trouble.start()
    middle.start()
    await asyncio.to_thread(traffic.run)
    trouble.end()
    middle.join()
    assert len(trouble.done) > 5
    events = await check_store(database, traffic.acknowledged)
    check_figures(projections, processes, expected(LEADS))
    await check_topic(broker.bootstrap, topic, events)
    said = processes.salescycle("verify", "--wait", "60", check=False, timeout_s=180)
    assert "No difference" in said.stdout, said.stdout + said.stderr


async def test_three_of_each_started_and_stopped_at_random_give_the_same_answers(
    processes: Processes, database: str, broker: Broker, topic: str
) -> None:
    processes.salescycle("migrate")
    doors = [processes.lifecycle() for _ in range(3)]
    counters = [processes.projections() for _ in range(3)]
    trouble = Trouble([*doors, *counters], [kill, stop, doze], seed=2)
    traffic = Traffic(doors, processes.headers, LEADS // 2, seconds=SECONDS)
    trouble.start()
    await asyncio.to_thread(traffic.run)
    trouble.end()
    assert len(trouble.done) > 3
    events = await check_store(database, traffic.acknowledged)
    for counter in counters:
        check_figures(counter, processes, expected(LEADS // 2))
    await check_topic(broker.bootstrap, topic, events)
