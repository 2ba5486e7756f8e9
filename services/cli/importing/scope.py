"""What a mapping can refer to by `{name}`: columns of the file, named values, columns of lookups."""

import re
from collections.abc import Callable
from typing import Any, Final

from services.cli.importing.names import NameBook
from services.cli.importing.node import Node, did_you_mean
from services.cli.importing.row import UNSET, Getter, Row, neighbour

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")
Piece = str | Getter
NEIGHBOURS: Final = ("previous", "next")
"""What a row of a series calls the rows beside it: `{previous.amount}`."""


class Defaults:
    """What every value uses that does not say otherwise."""

    def __init__(self) -> None:
        self.zone = "UTC"
        self.currency: str | None = None
        self.decimal_mark = "."
        self.day_formats: tuple[str, ...] = ()
        self.instant_formats: tuple[str, ...] = ()


class Scope:
    """Resolves references while a mapping is compiled, and remembers which columns it needs and where they are named."""

    def __init__(self, defaults: Defaults, names: NameBook) -> None:
        self.defaults = defaults
        self.names = names
        self.columns: dict[str, Node] = {}
        self.slots = 0
        self.in_series = False
        self._named: dict[str, Node] = {}
        self._lookups: dict[str, Callable[[str, Node], Getter]] = {}
        self._compiled: dict[str, Getter] = {}
        self._compiling: list[str] = []
        self._compile_value: Callable[[Node, str], Getter] | None = None

    def define(self, values: dict[str, Node], compile_value: Callable[[Node, str], Getter]) -> None:
        """Names that stand for a value. They may refer to each other, in any order, but not in a circle."""
        self._named = values
        self._compile_value = compile_value

    def define_lookup(self, name: str, column: Callable[[str, Node], Getter]) -> None:
        self._lookups[name] = column

    def compile_named(self) -> None:
        """Compile every named value, also one that nothing refers to: a flaw in it is a flaw of the mapping."""
        for name, node in self._named.items():
            self.reference(name, node)

    def reference(self, name: str, at: Node) -> Getter:
        """What gives the value of `{name}`: a named value, else a lookup's column, else a neighbour's value in
        its series, else a column of the file."""
        name = name.strip()
        if name in self._compiled:
            return self._compiled[name]
        if name in self._named and self._compile_value is not None:
            if name in self._compiling:
                raise self._named[name].refuse(f"refers to itself: {' → '.join([*self._compiling, name])}")
            self._compiling.append(name)
            get = self.memoised(self._compile_value(self._named[name], name))
            self._compiling.pop()
            self._compiled[name] = get
            return get
        head, dot, rest = name.partition(".")
        if dot and head in self._lookups:
            return self._lookups[head](rest, at)
        if dot and self.in_series and head in NEIGHBOURS:
            if rest.partition(".")[0] in NEIGHBOURS:
                raise at.refuse("looks further than to the next row")
            return neighbour(head, self.reference(rest, at))
        self.columns.setdefault(name, at)
        return lambda row: row.cells.get(name)

    def memoised(self, get: Getter) -> Getter:
        """Worked out once a row, however often it is referred to."""
        slot = self.slots
        self.slots += 1

        def once(row: Row) -> Any:
            value = row.memo[slot]
            if value is UNSET:
                value = row.memo[slot] = get(row)
            return value

        return once

    def pieces(self, text: str, at: Node) -> list[Piece]:
        """A template in parts: texts, and what gives the value of each `{reference}`. `{{` and `}}` are braces."""
        parts: list[Piece] = []
        end = 0
        for found in _PIECE.finditer(text):
            if found.start() > end:
                parts.append(text[end : found.start()])
            end = found.end()
            if found[1] is not None:
                parts.append(self.reference(found[1], at))
            elif found[0] in {"{{", "}}"}:
                parts.append(found[0][0])
            else:
                raise at.refuse("has a brace without its partner; a brace itself is written twice: {{")
        if end < len(text):
            parts.append(text[end:])
        return parts

    def missing(self, present: set[str], optional: set[str], what: str) -> None:
        """Raises BadMapping for the first column that the mapping needs and `present` lacks: "which {what}"."""
        for name, at in self.columns.items():
            if name not in present and name not in optional:
                raise at.refuse(
                    f"refers to `{name}`, which {what}{did_you_mean(name, present | set(self._named))}; "
                    f"its columns: {', '.join(sorted(present)[:40])}"
                )
