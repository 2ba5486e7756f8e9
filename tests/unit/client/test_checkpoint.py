"""A checkpoint in the reader's own transaction: it moves with the effect, and only from where the reader left it."""

import sqlite3
from pathlib import Path

import pytest

from services.client import Batch, Fenced, MemoryCheckpoint, Place, SqliteCheckpoint


def step(after: Place, place: Place, partition: int = 3) -> Batch:
    return Batch(partition, after, place, ())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.sqlite"


def test_it_moves_with_the_transaction_and_stays_without_it(path: Path) -> None:
    database = sqlite3.connect(path)
    checkpoint = SqliteCheckpoint(database)
    assert checkpoint.load() == {}
    with database:
        checkpoint.save(step(Place(), Place(4, "d")))
    checkpoint.save(step(Place(4, "d"), Place(9, "i")))
    database.rollback()  # as where the effect failed
    database.close()
    again = sqlite3.connect(path)
    assert SqliteCheckpoint(again).load() == {3: Place(4, "d")}
    again.close()


def test_a_second_process_of_the_same_reader_is_refused(path: Path) -> None:
    database = sqlite3.connect(path)
    one, zombie = SqliteCheckpoint(database), SqliteCheckpoint(database)
    one.save(step(Place(), Place(4, "d")))
    with pytest.raises(Fenced, match="another process"):
        zombie.save(step(Place(), Place(2, "b")))
    one.save(step(Place(4, "d"), Place(5, "e")))
    with pytest.raises(Fenced):
        zombie.save(step(Place(4, "d"), Place(6, "f")))
    assert one.load() == {3: Place(5, "e")}
    database.close()


def test_a_checkpoint_that_was_deleted_under_a_reader_is_noticed(path: Path) -> None:
    database = sqlite3.connect(path)
    checkpoint = SqliteCheckpoint(database)
    with pytest.raises(Fenced):
        checkpoint.save(step(Place(4, "d"), Place(5, "e")))
    database.close()


def test_readers_of_one_database_keep_places_of_their_own(path: Path) -> None:
    database = sqlite3.connect(path)
    mirror, letters = SqliteCheckpoint(database, "mirror"), SqliteCheckpoint(database, "letters")
    mirror.save(step(Place(), Place(4, "d")))
    letters.save(step(Place(), Place(1, "a")))
    assert (mirror.load(), letters.load()) == ({3: Place(4, "d")}, {3: Place(1, "a")})
    database.close()


def test_places_in_memory_are_those_that_were_given_and_saved() -> None:
    checkpoint = MemoryCheckpoint({1: Place(2, "b")})
    checkpoint.save(step(Place(), Place(7, "g")))
    assert checkpoint.load() == {1: Place(2, "b"), 3: Place(7, "g")}
