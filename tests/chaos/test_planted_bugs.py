"""A test of the tests: bugs that such systems are known for are planted, and the checkers must find each of them.

Every bug is tried beside the sound part under the same disturbance, so that it is the bug which is found.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import asyncpg
import pytest

from schemas.envelope import Recorded
from services.cli.verification.read_model import check_rebuilt
from services.kernel import checkpoint
from services.kernel.apply import Partition
from services.kernel.clock import utc_now
from services.kernel.committer import Committer
from services.kernel.draft import Draft
from services.kernel.errors import SalescycleError
from services.kernel.feed_client import FeedClient
from services.kernel.relay import Relay
from tests.support import logs
from tests.support.brokers import Broker
from tests.support.compared import check_store, stored
from tests.support.consuming import PARTITIONS, Rig, Tally, log_of, rig_on
from tests.support.logs import event, opened, prepare, published, publishing


class Crash(BaseException):
    """A process dies here: nothing after this point happens, and nobody handles it."""


# ---- the committer


class AnswersFirst(Committer):
    """Tells the sender that the event is stored, then stores it."""

    async def _append(self, connection: Any, draft: Draft) -> None:
        if draft.rows:
            draft.arguments()  # gives each row its place
            partitions = sorted({row.partition for row in draft.rows})
            rows = await connection.fetch(
                "SELECT head FROM log_partition WHERE partition = ANY ($1) ORDER BY partition", partitions
            )
            draft.deliver(utc_now(), [row[0] for row in rows])
        await super()._append(connection, draft)


@pytest.mark.parametrize(("committer", "sound"), [(Committer, True), (AnswersFirst, False)], ids=["sound", "planted"])
async def test_an_answer_before_the_commit_is_found(
    database: str, monkeypatch: pytest.MonkeyPatch, committer: type[Committer], sound: bool
) -> None:
    await prepare(database)
    monkeypatch.setattr(logs, "Committer", committer)
    acknowledged: dict[str, tuple[int, int]] = {}

    async def post(log: logs.LeadLog, number: int) -> None:
        for n in range(20):
            answer = await log.post_one(event("ActivityLogged", f"L-{number}", id=f"{number}-{n}"))
            acknowledged[answer.id] = (answer.partition, answer.position)

    appends = 0
    died = asyncio.Event()
    fetchrow: Any = asyncpg.pool.PoolConnectionProxy.fetchrow

    async def dies_at_the_seventh(connection: Any, query: str, *arguments: object, **options: object) -> object:
        nonlocal appends
        appends += "append(" in query
        if appends >= 7:
            died.set()
            raise Crash
        return await fetchrow(connection, query, *arguments, **options)

    monkeypatch.setattr(asyncpg.pool.PoolConnectionProxy, "fetchrow", dies_at_the_seventh)
    async with opened(database) as log:
        posting = [asyncio.create_task(post(log, number)) for number in range(10)]
        await died.wait()
        await asyncio.sleep(0.1)  # an answer that was given reaches its sender all the same
        for task in (*posting, *log.committer._workers):
            task.cancel()
        await asyncio.gather(*posting, return_exceptions=True)
        log.committer._queued = 0  # the dead drain nothing
        log.committer._busy.clear()
    places = {e.id: (e.partition, e.position) for events in (await stored(database)).values() for e in events}
    assert acknowledged
    known = {**places, **acknowledged}  # what was not acknowledged when it died is unknown, and may be stored
    if sound:
        await check_store(database, known)
    else:
        with pytest.raises(AssertionError):
            await check_store(database, known)


# ---- the relay


class TrustsItsNotes(Relay):
    """Goes on after the position that it has written down, whatever the topic holds."""

    async def _find_places(self, partitions: Sequence[int]) -> dict[int, Any]:
        places = await super()._find_places(partitions)
        for partition, place in places.items():
            if partition in self._confirmed:
                place.next_position = self._confirmed[partition].position + 1
        return places


@pytest.mark.parametrize(("relay", "sound"), [(Relay, True), (TrustsItsNotes, False)], ids=["sound", "planted"])
async def test_a_relay_that_trusts_what_it_has_confirmed_is_found(
    database: str, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch, relay: type[Relay], sound: bool
) -> None:
    if not hasattr(broker, "log"):
        pytest.skip("a real broker keeps what it acknowledged")
    monkeypatch.setattr(logs, "Relay", relay)
    await prepare(database)
    async with opened(database) as log, publishing(log, broker.bootstrap, topic):
        await log.post(*(event("ActivityLogged", f"L-{n % 20}", id=f"a-{n}") for n in range(300)))
        await published(broker.bootstrap, topic, 300)
        await asyncio.sleep(1.5)  # until it has written down what was confirmed
        broker.kill9()
        broker.start()
        await log.post(*(event("ActivityLogged", f"L-{n % 20}", id=f"b-{n}") for n in range(100)))
        if sound:
            assert await published(broker.bootstrap, topic, 400, within_s=60, lost=True) == await log.everything()
        else:
            with pytest.raises(TimeoutError):
                await published(broker.bootstrap, topic, 400, within_s=12, lost=True)


# ---- the consumer


@pytest.fixture
async def rig(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with rig_on(database, monkeypatch) as made:
        yield made


class CheckpointFirst(Partition):
    """Commits the checkpoint, then the effect."""

    async def _write(self, fresh: Sequence[Recorded], park: dict[int, str] | None = None) -> None:
        effect, self._model = self._model, Nothing()
        try:
            await super()._write(fresh, park)
        finally:
            self._model = effect
        async with self._pool.acquire() as connection, connection.transaction():
            schema = checkpoint.schema_of(self._model.name, self.generation)
            await connection.execute(f'SET LOCAL search_path = "{schema}"')
            await self._model.apply(connection, self.number, fresh)


class NoFence(Partition):
    """Moves the checkpoint from wherever it is: the update has no condition."""

    async def _write(self, fresh: Sequence[Recorded], park: dict[int, str] | None = None) -> None:
        now = (await checkpoint.checkpoints(self._pool, self._model.name, self.generation))[self.number]
        self.known, mine = now, self.known
        try:
            await super()._write(fresh, park)
        except checkpoint.Fenced:
            self.known = mine
            await self._write(fresh, park)


class Nothing(Tally):
    """A read model without effect."""

    async def apply(self, connection: Any, partition: int, events: Sequence[Recorded]) -> None:
        """Nothing happens."""


@pytest.mark.parametrize(("kind", "sound"), [(Partition, True), (CheckpointFirst, False)], ids=["sound", "planted"])
async def test_a_checkpoint_before_its_effect_is_found(rig: Rig, kind: type[Partition], sound: bool) -> None:
    """The process dies in the middle of one of its batches, and another goes on from the checkpoint."""
    events = log_of(*"ABCDEFGHIJ" * 4)
    rig.feed.add(*events)
    dying = True

    def die(event: Recorded) -> Exception | None:
        if dying and event.position == 17:
            raise Crash
        return None

    await _follow(rig, kind, Tally(die), events, seed=1)
    dying = False
    await _follow(rig, kind, Tally(), events, seed=2)
    await _check_tally(rig, events, sound)


@pytest.mark.parametrize(("kind", "sound"), [(Partition, True), (NoFence, False)], ids=["sound", "planted"])
async def test_a_missing_fence_is_found(rig: Rig, kind: type[Partition], sound: bool) -> None:
    """Two processes believe that they own the partition."""
    events = log_of(*"ABCDEFGHIJ" * 4)
    rig.feed.add(*events)
    await rig.partition(Tally())
    await asyncio.gather(*(_follow(rig, kind, Tally(), events, seed=seed) for seed in (1, 2)))
    await _check_tally(rig, events, sound)


async def _follow(rig: Rig, kind: type[Partition], model: Tally, events: list[Recorded], *, seed: int) -> None:
    """A process that applies batches of random size until the end, or until it dies."""
    rng = random.Random(seed)
    generation = await checkpoint.ensure_live(rig.pool, model, PARTITIONS)
    while True:
        (part,) = await kind.open(rig.pool, model, generation, [0], live=True)
        try:
            while part.known.position < len(events):
                at = part.known.position
                await part.apply(events[at : at + rng.randrange(1, 7)], "kafka")
        except Crash:
            return
        except SalescycleError:  # fenced: look again where the partition stands
            continue
        return


async def _check_tally(rig: Rig, events: list[Recorded], sound: bool) -> None:
    """By hand and by the product's own comparison with a rebuild: both must tell the sound from the planted."""
    taken = [position for _, position in await rig.taken()]
    assert (taken == [each.position for each in events]) is sound
    named = [
        difference
        async for difference in check_rebuilt(
            rig.pool, Tally(), cast(FeedClient, rig.feed), PARTITIONS, lambda what, done, total: None
        )
    ]
    assert (not named) is sound, named
