"""Where a reader stands: a position and the id of the event there, for each partition. The reader keeps it, not this package.

Save it in the transaction that holds what the events have done, and a crash at any instant leaves both or neither: each event
takes effect exactly once. The id of the event is what shows that the log is still the one that was read.
"""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from services.client.errors import Fenced


class Place(NamedTuple):
    """The last event of a partition that has taken effect; position 0: none yet."""

    position: int = 0
    event_id: str | None = None


BEGINNING = Place()


class Step(Protocol):
    """What moves a checkpoint: a `Batch`."""

    @property
    def partition(self) -> int: ...

    @property
    def after(self) -> Place: ...

    @property
    def place(self) -> Place: ...


class Checkpoint(Protocol):
    """Where a subscription begins. A reader whose store is asynchronous loads it first and gives a MemoryCheckpoint."""

    def load(self) -> Mapping[int, Place]:
        """The place in each partition that anything was saved for."""
        ...


class MemoryCheckpoint:
    """Places in memory: for readers that begin anew with every start, and for places that were loaded elsewhere."""

    def __init__(self, places: Mapping[int, Place] | None = None) -> None:
        self.places = dict(places or {})

    def load(self) -> Mapping[int, Place]:
        return dict(self.places)

    def save(self, step: Step) -> None:
        self.places[step.partition] = step.place


class SqliteCheckpoint:
    """Places in the table `checkpoint` of the caller's own SQLite database, one row a partition of the reader `name`."""

    def __init__(self, database: sqlite3.Connection, name: str = "reader") -> None:
        self._database = database
        self._name = name
        database.execute(
            "CREATE TABLE IF NOT EXISTS checkpoint (name TEXT NOT NULL, partition INTEGER NOT NULL, "
            "position INTEGER NOT NULL, event_id TEXT, PRIMARY KEY (name, partition)) WITHOUT ROWID"
        )

    def load(self) -> Mapping[int, Place]:
        rows = self._database.execute(
            "SELECT partition, position, event_id FROM checkpoint WHERE name = ?", (self._name,)
        )
        return {partition: Place(position, event_id) for partition, position, event_id in rows}

    def save(self, step: Step) -> None:
        """Move on from `step.after` to `step.place`, as the first thing of the caller's transaction; the caller commits.

        Raises Fenced: the checkpoint is elsewhere, so another process has done this work; roll back.
        """
        moved = self._database.execute(
            "UPDATE checkpoint SET position = ?, event_id = ? WHERE name = ? AND partition = ? AND position = ?",
            (*step.place, self._name, step.partition, step.after.position),
        ).rowcount
        if not moved and step.after == BEGINNING:
            moved = self._database.execute(
                "INSERT OR IGNORE INTO checkpoint (name, partition, position, event_id) VALUES (?, ?, ?, ?)",
                (self._name, step.partition, *step.place),
            ).rowcount
        if not moved:
            raise Fenced(
                f"The checkpoint of {self._name} is no longer at {step.after.position} in partition {step.partition}: another "
                "process of this reader is at work on the same database. Nothing was written; run one of them"
            )
