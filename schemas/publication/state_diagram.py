"""The transition table as people read it: a Mermaid state diagram and the table row by row, from `transitions.TABLE`.

The diagram shows the normal steps that move a lead; the table below it shows every row. The states before Won are drawn as one state
around them, and a step from every state as one arrow, because an arrow from each says less than one from all. (Mermaid
cannot draw an arrow between the insides of two such states, so there is only one.)
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas.lead.transitions import OPEN, STATES, TABLE, Row

AROUND: Final = "before_won"
"""The state around those before Won."""
ANYWHERE: Final = "anywhere"
"""Every state of a lead that somebody has heard of and that was not absorbed."""
_KNOWN: Final = frozenset(STATES) - {"unknown", "absorbed"}
_TITLES: Final = {AROUND: "before Won", ANYWHERE: "any state but unknown"} | {
    row.to.replace(" ", "_"): row.to for row in TABLE if row.to is not None and " " in row.to
}

BEGIN: Final = "<!-- Generated from schemas/lead/transitions.py. To write it anew: salescycle schemas write -->"
END: Final = "<!-- End of what is generated. -->"


class Arrow(NamedTuple):
    """`label`: the events that take the lead there."""

    source: str
    target: str
    label: str


def arrows() -> list[Arrow]:
    """Every normal step of the table that moves a lead to another state, the events between two states on one arrow."""
    labels: dict[tuple[str, str], list[str]] = {}
    for row in TABLE:
        if row.to is None or row.implies:
            continue
        target = row.to.replace(" ", "_")  # one that depends on the lead is drawn as a state of its own
        for source in _sources(row):
            if source != target:
                labels.setdefault((source, target), []).append(row.event)
    return [Arrow(source, target, ", ".join(dict.fromkeys(each))) for (source, target), each in labels.items()]


def _sources(row: Row) -> Iterator[str]:
    """The states of a row; those before Won as the one around them, unless the row leads into it."""
    if set(row.states) >= _KNOWN:
        yield ANYWHERE
        return
    left = list(row.states)
    if set(OPEN) <= set(left) and row.to not in OPEN:
        left = [state for state in left if state not in OPEN]
        yield AROUND
    yield from left


def diagram() -> str:
    """Mermaid, `stateDiagram-v2`."""
    drawn = arrows()
    inside = [arrow for arrow in drawn if {arrow.source, arrow.target} <= set(OPEN)]
    return "\n".join(
        [
            "stateDiagram-v2",
            "    direction LR",
            *(f'    state "{title}" as {name}' for name, title in _TITLES.items()),
            f"    state {AROUND} {{",
            *(f"        {source} --> {target} : {label}" for source, target, label in inside),
            "        closing",
            "    }",
            "    [*] --> unknown",
            *(
                f"    {source} --> {target} : {label}"
                for source, target, label in drawn
                if (source, target, label) not in inside
            ),
        ]
    )


def table() -> str:
    """The rows of the table as Markdown."""
    lines = ["| event | in the states | leads to | class | provided |", "|---|---|---|---|---|"]
    for row in TABLE:
        states = ", ".join(f"`{state}`" for state in row.states)
        target = "stays" if row.to is None else f"`{row.to}`" if row.to in STATES else row.to
        kind = f"implied: {', '.join(row.implies)}" if row.implies else "normal"
        lines.append(f"| {row.event} | {states} | {target} | {kind} | {row.provided} |")
    return "\n".join(lines)


def with_generated(page: str) -> str:
    """The page with the part between its two markers written anew. Raises ValueError where a marker is missing."""
    head, found, rest = page.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the page lacks a marker; put these two lines where the diagram belongs:\n{BEGIN}\n{END}")
    return f"{head}{BEGIN}\n\n```mermaid\n{diagram()}\n```\n\n{table()}\n\n{END}{tail}"
