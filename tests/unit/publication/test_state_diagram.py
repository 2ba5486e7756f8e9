"""The diagram and the table of docs/lifecycle.md: every row of the transition table stands in them."""

import re

import pytest

from schemas.lead.transitions import OPEN, TABLE, Row
from schemas.publication.state_diagram import ANYWHERE, AROUND, BEGIN, END, diagram, table, with_generated

ARROW = re.compile(r"^ +(\S+) --> (\S+)(?: : (.+))?$", re.MULTILINE)
DRAWN = {
    (source, target, event)
    for source, target, label in ARROW.findall(diagram())
    for event in label.split(", ")
    if event
}


def expected(row: Row, state: str) -> set[tuple[str, str, str]]:
    """The arrows of which one must be there for a lead in that state."""
    assert row.to is not None
    target = row.to.replace(" ", "_")
    sources = [state, AROUND, ANYWHERE] if state in OPEN else [state, ANYWHERE]
    return {(source, target, row.event) for source in sources}


MOVING = [
    (row, state) for row in TABLE for state in row.states if row.to is not None and not row.implies and row.to != state
]


@pytest.mark.parametrize(("row", "state"), MOVING, ids=lambda each: each if isinstance(each, str) else each.event)
def test_a_normal_step_that_moves_a_lead_is_drawn_once(row: Row, state: str) -> None:
    assert len(expected(row, state) & DRAWN) == 1


def test_nothing_is_drawn_that_is_no_step() -> None:
    steps = set().union(*(expected(row, state) for row, state in MOVING))
    assert steps >= DRAWN
    assert DRAWN


def test_every_row_stands_in_the_table() -> None:
    lines = table().splitlines()[2:]
    assert len(lines) == len(TABLE)
    for line, row in zip(lines, TABLE, strict=True):
        assert line.startswith(f"| {row.event} |")
        assert re.findall(r"`(\w+)`", line.split("|")[2]) == list(row.states)
        assert row.provided in line


def test_what_is_written_by_hand_stays() -> None:
    page = f"# Above\n{BEGIN}\nold\n{END}\nbelow\n"
    made = with_generated(page)
    assert made.startswith("# Above\n")
    assert made.endswith(f"{END}\nbelow\n")
    assert "old" not in made
    assert with_generated(made) == made


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="lacks a marker"):
        with_generated(page)
