"""A log spread over one or more PostgreSQL primaries: each placement holds a range of partitions and brings its own ceiling.

One placement is the default; nothing above this module knows how many there are. Two stated limits: the reuse of a
(source, id) for a stream of another placement is not noticed, and an atomic batch across placements is refused.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from schemas.envelope import Event
from services.kernel.committer import Committer, Outcome
from services.kernel.decider import Deciders
from services.kernel.errors import Invalid, NotFound, SalescycleError
from services.kernel.log import Log, lay_out
from services.kernel.migrate import Component, Migration, migrate
from services.kernel.partition import partition_of
from services.kernel.postgres import create_pool
from services.kernel.relay import Relay
from services.kernel.settings import KafkaSettings, PlacementSettings, PostgresSettings
from services.kernel.submission import Appended
from services.kernel.wakeup import Heads


class Placement:
    """One primary: its part of the log, who appends to it, who knows its heads, who publishes it."""

    def __init__(self, log: Log, heads: Heads, committer: Committer, relay: Relay) -> None:
        self.log = log
        self.heads = heads
        self.committer = committer
        self.relay = relay

    async def start(self) -> None:
        await self.heads.start()
        await self.committer.start()
        await self.relay.start()

    async def stop(self) -> None:
        """Intake first, so that what was acknowledged is also announced; then the relay, then the connections."""
        await self.committer.stop()
        await self.relay.stop()
        await self.heads.stop()
        await self.log.close()


class Placements:
    """The whole log: routes a stream to its partition, and a partition to its placement."""

    def __init__(self, placements: Sequence[Placement], partitions: int) -> None:
        self.partitions = partitions
        self.all = tuple(placements)
        self._by_partition = {number: placement for placement in placements for number in placement.log.owned}

    @classmethod
    async def open(
        cls, *, schema: str, partitions: int, places: Sequence[PlacementSettings], postgres: PostgresSettings,
        kafka: KafkaSettings, topic: str, deciders: Deciders, base_url: str, owner: str,
        committer_depth: int = 2,
    ) -> "Placements":  # fmt: skip
        """Connect to every placement. Raises Unavailable or Diverged."""
        made = []
        for name, url, owned in ranges(partitions, places, postgres):
            log = await Log.open(
                name, url, schema=schema, partitions=partitions, owned=owned, pool_size=postgres.pool_size,
                statement_timeout_ms=postgres.statement_timeout_ms,
            )  # fmt: skip
            heads = Heads(log, channel=f"{schema}_heads")
            committer = Committer(log, deciders, on_append=heads.appended, depth=committer_depth)
            relay_pool = await create_pool(url, schema=schema, role="salescycle_relay", min_size=1, max_size=4)
            relay = Relay(relay_pool, log, heads, kafka, topic=topic, base_url=base_url, owner=owner)
            made.append(Placement(log, heads, committer, relay))
        return cls(made, partitions)

    async def start(self) -> None:
        for placement in self.all:
            await placement.start()

    async def stop(self) -> None:
        await asyncio.gather(*(placement.stop() for placement in self.all))

    def partition_of(self, stream: str) -> int:
        return partition_of(stream, self.partitions)

    def of_partition(self, partition: int) -> Placement:
        """Raises NotFound for a number that is no partition."""
        try:
            return self._by_partition[partition]
        except KeyError:
            raise NotFound(f"there is no partition {partition}; they are 0 to {self.partitions - 1}") from None

    def of_stream(self, stream: str) -> Placement:
        return self._by_partition[partition_of(stream, self.partitions)]

    async def append_one(self, event: Event, *, strict: bool) -> Appended:
        """Store one event. Raises its refusal."""
        (outcome,) = await self.of_stream(event.stream).committer.submit(((event,),), strict=strict)
        if isinstance(outcome, SalescycleError):
            raise outcome
        return outcome[0]

    async def append_each(self, events: Sequence[Event], *, strict: bool) -> list[Appended | SalescycleError]:
        """Store each event for itself; one answer or refusal an event, in order. Raises Overloaded before taking any."""
        if len(self.all) == 1:
            outcomes = await self.all[0].committer.submit([(event,) for event in events], strict=strict)
            return [_single(outcome) for outcome in outcomes]
        places = [self.of_stream(event.stream) for event in events]
        groups: dict[int, list[int]] = {}
        for index, place in enumerate(places):
            groups.setdefault(id(place), []).append(index)
        answers: list[Any] = [None] * len(events)
        refused: list[SalescycleError] = []

        async def store(indices: list[int]) -> None:
            committer = places[indices[0]].committer
            try:
                outcomes: Sequence[Outcome] = await committer.submit(
                    [(events[index],) for index in indices], strict=strict
                )
            except SalescycleError as refusal:  # one placement may be full while the other stores
                refused.append(refusal)
                outcomes = [refusal] * len(indices)
            for index, outcome in zip(indices, outcomes, strict=True):
                answers[index] = _single(outcome)

        await asyncio.gather(*(store(indices) for indices in groups.values()))
        if len(refused) == len(groups):  # nothing was taken anywhere, as with one placement
            raise refused[0]
        return answers

    async def append_together(self, events: Sequence[Event], *, strict: bool) -> list[Appended]:
        """Store all events or none. Raises the first refusal, or Invalid where they lie in several placements."""
        committers = {id(place): place.committer for place in map(self.of_stream, (event.stream for event in events))}
        if len(committers) > 1:
            raise Invalid("an atomic batch must lie in one placement; these streams lie in several")
        (committer,) = committers.values()
        (outcome,) = await committer.submit((tuple(events),), strict=strict)
        if isinstance(outcome, SalescycleError):
            raise outcome
        return outcome


def _single(outcome: Outcome) -> Appended | SalescycleError:
    return outcome if isinstance(outcome, SalescycleError) else outcome[0]


def ranges(
    partitions: int, places: Sequence[PlacementSettings], postgres: PostgresSettings
) -> list[tuple[str, str, list[int]]]:
    """(name, URL, partitions) of every placement; together they must cover 0 to P-1 once. Raises Invalid."""
    if not places:
        return [("default", postgres.url.get_secret_value(), list(range(partitions)))]
    found = [(place.name, place.url.get_secret_value(), list(range(place.first, place.last + 1))) for place in places]
    if sorted(number for _, _, owned in found for number in owned) != list(range(partitions)):
        raise Invalid(f"log.placements must cover the partitions 0 to {partitions - 1}, each once")
    return found


async def migrate_placements(
    schema: str,
    partitions: int,
    places: Sequence[PlacementSettings],
    postgres: PostgresSettings,
    components: Sequence[Component],
) -> list[Migration]:
    """Bring every placement's schema to the newest level and lay out its partitions."""
    done = []
    for _, url, owned in ranges(partitions, places, postgres):
        connection = await asyncpg.connect(url, timeout=10)
        try:
            done += await migrate(connection, schema, components)
            await lay_out(connection, schema, owned)
        finally:
            await connection.close()
    return done
