"""A mapping: the YAML file that says how rows become events. Read once, compiled, then applied row by row."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas.codec import Rejected, parse_event
from schemas.events.fields import SOURCE_PATTERN
from services.cli.importing import rules, values
from services.cli.importing.lookups import Lookup
from services.cli.importing.names import NameBook
from services.cli.importing.node import BadMapping, Node, parse
from services.cli.importing.row import UNSET, CellRefused, Reason, Row
from services.cli.importing.rules import Repeated, Rule
from services.cli.importing.scope import NEIGHBOURS, Defaults, Scope
from services.cli.importing.series import Series

KEYS: Final = (
    "mapping", "about", "source", "key", "subject", "input", "defaults", "values", "lookups", "series", "events",
)  # fmt: skip
FORMAT_VERSION: Final = "1"


class Input(NamedTuple):
    """How the file is written. `form` is `csv` or `ndjson`, None to go by its name; `columns` where it has no header."""

    form: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    empty: frozenset[str] = frozenset({""})
    columns: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()


class Translated(NamedTuple):
    """The events of one row; where `reasons` is not empty, none of them may be sent.

    `repeated` says of each event what it means that the service holds one of its id with other content.
    """

    events: list[dict[str, Any]]
    reasons: list[Reason]
    repeated: Sequence[Repeated] = ()


class Mapping:
    """Compiled from the YAML text. Raises BadMapping, which names the file, the line and the place."""

    def __init__(self, text: str, file: str) -> None:
        root = parse(text, file)
        parts = root.members(KEYS, required=("mapping", "source", "key", "events"))
        parts["mapping"].word((FORMAT_VERSION,))
        self.file = file
        self.input = _input(parts.get("input"))
        source = parts["source"].word()
        if not re.fullmatch(SOURCE_PATTERN, source) or len(source) > 256:
            raise parts["source"].refuse(
                "must be a URI reference of at most 256 characters, such as /crm/opportunities"
            )
        self._scope = Scope(_defaults(parts.get("defaults")), NameBook())
        self.lookups = _lookups(parts.get("lookups"), self._scope)
        self._scope.in_series = "series" in parts
        self._name_values(parts.get("values"))
        self.whole_row = parts["key"].text == "*"
        key = rules.key_of(parts["key"], self._scope)
        self.rules = [Rule(each, source, key, parts.get("subject"), self._scope) for each in parts["events"].items()]
        self._check_rules(parts["events"])
        self._series = (
            Series(parts["series"], lambda part, space: values.compile_value(part, space, self._scope))
            if "series" in parts
            else None
        )
        self._scope.compile_named()

    @classmethod
    def read(cls, path: Path) -> "Mapping":
        """Raises BadMapping."""
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise BadMapping(f"The mapping {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadMapping(f"The mapping {path} is not UTF-8") from None

    @property
    def columns(self) -> set[str]:
        """The columns of the file that the mapping refers to."""
        return set(self._scope.columns)

    def check_columns(self, present: set[str], what: str) -> None:
        """Raises BadMapping for a column that the mapping needs and the file lacks, naming the one that was meant."""
        self._scope.missing(present, set(self.input.optional), what)

    def load_lookups(self, folder: Path) -> None:
        """Read the tables that lie beside the imported file. Raises BadMapping."""
        for lookup in self.lookups.values():
            lookup.load(folder, self.input.empty)

    def translate(self, row: Row, now: datetime) -> Translated:
        """The events of a row, each held to the rules of the language as the service will hold it. Raises NameCollision."""
        if row.flaw is not None:
            return Translated([], [Reason("row", row.flaw)])
        self._ready(row)
        for each in (row, row.previous, row.next):
            if each is not None:
                each.now = now
        events: list[dict[str, Any]] = []
        repeated: list[Repeated] = []
        reasons: list[Reason] = []
        for rule in self.rules:
            try:
                event = rule.event_of(row, reasons)
            except CellRefused as refused:
                if type(refused) is not CellRefused:
                    raise
                reasons.append(Reason(f"when of {rule.name}", str(refused)))
                continue
            if event is None:
                continue
            try:
                parse_event(event, now)
            except Rejected as rejected:
                reasons += [Reason(pointer, f"{detail} ({rule.name})") for pointer, detail in rejected.errors]
            else:
                events.append(event)
                repeated.append(rule.repeated)
        return Translated([], reasons) if reasons else Translated(events, reasons, repeated)

    def groups(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """The rows that belong together, in their order: each alone, or the series that the mapping speaks of."""
        if self._series is None:
            return ([row] for row in rows)
        return self._series.groups(rows, self._ready)

    def _ready(self, row: Row) -> None:
        if len(row.memo) != self._scope.slots:
            row.memo = [UNSET] * self._scope.slots

    def _name_values(self, node: Node | None) -> None:
        named = node.members() if node is not None else {}
        for name, part in named.items():
            if name in self.lookups or "." in name or (self._scope.in_series and name in NEIGHBOURS):
                raise part.refuse(
                    "is also the name of a lookup or of a neighbour, or holds a point: choose another name"
                )
        self._scope.define(named, lambda part, space: values.compile_value(part, space, self._scope))

    def _check_rules(self, node: Node) -> None:
        names: set[str] = set()
        for rule in self.rules:
            if rule.name in names:
                raise rule.node.refuse(f"is a second event named {rule.name}: give each a `name` of its own")
            names.add(rule.name)
        if not names:
            raise node.refuse("needs at least one event")


def _input(node: Node | None) -> Input:
    if node is None:
        return Input()
    parts = node.members(("format", "delimiter", "encoding", "empty", "columns", "optional"))
    delimiter = parts["delimiter"].word() if "delimiter" in parts else None
    if delimiter is not None and len(delimiter) != 1:
        raise parts["delimiter"].refuse("must be one character")
    encoding = parts["encoding"].word() if "encoding" in parts else "utf-8-sig"
    try:
        "".encode(encoding)
    except LookupError:
        raise parts["encoding"].refuse("is no character encoding, such as utf-8 or cp1252") from None
    return Input(
        form=parts["format"].word(("csv", "ndjson")) if "format" in parts else None,
        delimiter=delimiter,
        encoding=encoding,
        empty=frozenset({"", *parts["empty"].words()}) if "empty" in parts else frozenset({""}),
        columns=tuple(parts["columns"].words()) if "columns" in parts else (),
        optional=frozenset(parts["optional"].words()) if "optional" in parts else frozenset(),
    )


def _defaults(node: Node | None) -> Defaults:
    defaults = Defaults()
    if node is None:
        return defaults
    parts = node.members(("zone", "currency", "decimal_mark", "day_format", "instant_format"))
    if "zone" in parts:
        defaults.zone = values.zone_of(parts["zone"])
    if "currency" in parts:
        defaults.currency = values.currency_of(parts["currency"])
    if "decimal_mark" in parts:
        defaults.decimal_mark = parts["decimal_mark"].word((".", ","))
    if "day_format" in parts:
        defaults.day_formats = tuple(parts["day_format"].words())
    if "instant_format" in parts:
        defaults.instant_formats = tuple(parts["instant_format"].words())
    return defaults


def _lookups(node: Node | None, scope: Scope) -> dict[str, Lookup]:
    lookups = {name: Lookup(name, part) for name, part in (node.members() if node is not None else {}).items()}
    for name, lookup in lookups.items():
        scope.define_lookup(name, lookup.column(scope, lambda part, space: values.compile_value(part, space, scope)))
    return lookups
