"""The rule of a reader: the next position is taken, what was seen is dropped, behind a hole nothing is taken."""

import random
from datetime import timedelta

import pytest

from schemas.envelope import Recorded
from services.client import Diverged, Place
from services.client.batch import batch_of
from services.client.density import Reading
from services.client.lag import lag_of
from tests.support.builders import NOW, document, recorded


def log(length: int) -> list[Recorded]:
    return [
        recorded(document("ActivityLogged", "L-1", id=f"e{n}"), position=n, version=n) for n in range(1, length + 1)
    ]


def test_events_in_order_are_taken_once() -> None:
    events, reading = log(5), Reading(0, Place())
    assert reading.take(events[:3]) == (events[:3], False)
    assert reading.take(events) == (events[3:], False)
    assert reading.place == Place(5, "e5")


def test_behind_a_hole_nothing_is_taken_until_it_is_filled() -> None:
    events, reading = log(6), Reading(0, Place())
    assert reading.take([events[0], events[1], events[3], events[4]]) == (events[:2], True)
    assert reading.take(events[1:]) == (events[2:], False)


def test_another_event_where_one_was_read_is_another_history() -> None:
    events, reading = log(3), Reading(4, Place(2, "somebody else's"))
    with pytest.raises(
        Diverged, match=r"Partition 4: another event stands at position 2 .* empty what this reader has written"
    ):
        reading.take(events)
    assert reading.place == Place(2, "somebody else's")


def test_a_place_without_an_event_id_is_taken_at_its_word() -> None:
    events, reading = log(3), Reading(0, Place(2))
    assert reading.take(events) == (events[2:], False)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_topic_does_each_event_is_taken_once_and_in_order(seed: int) -> None:
    """Pieces of the log are left out, repeated and disordered; a hole is filled by reading on from the log."""
    rng, events = random.Random(seed), log(60)
    reading, taken = Reading(0, Place()), []
    while reading.place.position < 60:
        start = rng.randrange(60)
        fresh, hole = reading.take(events[start : start + rng.randrange(1, 12)])
        taken += fresh
        if hole:
            fresh, hole = reading.take(events[reading.place.position : reading.place.position + rng.randrange(1, 5)])
            assert not hole
            taken += fresh
    assert taken == events


def test_a_batch_holds_the_types_that_were_asked_for_and_moves_past_all() -> None:
    events = [recorded(document("LeadCaptured"), position=1), recorded(document("Won"), position=2)]
    batch = batch_of(0, Place(), Place(2, events[1].id), events, {"Won"})
    assert [each.recorded for each in batch.events] == [events[1]]
    assert batch.place == Place(2, events[1].id)
    assert type(batch.events[0].body).__name__ == "Won"


def test_a_type_of_a_later_release_comes_without_a_body_and_with_its_json() -> None:
    later = recorded(document("Won"), position=1, dataschema=99)
    (received,) = batch_of(0, Place(), Place(1, later.id), [later], None).events
    assert (received.body, received.type, received.recorded.data) == (None, "Won", later.data)


def test_lag_is_told_in_events_and_by_the_clock_of_the_log() -> None:
    assert lag_of(7, NOW, 10, NOW + timedelta(seconds=5))[:] == (7, 10, 5.0)
    assert lag_of(7, NOW, 10, None).events == 3
    assert lag_of(10, NOW, 10, NOW + timedelta(seconds=5)).seconds == 0
    assert lag_of(3, None, None, None).events == 0
