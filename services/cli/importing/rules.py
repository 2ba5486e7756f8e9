"""One event of a row: which one, of whom, when, and with what in it."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from schemas.events import EVENTS
from services.cli.importing import conversions, values
from services.cli.importing.conditions import Condition, compile_condition
from services.cli.importing.node import Node
from services.cli.importing.row import CellRefused, Getter, NameCollision, Reason, Row, shown
from services.cli.importing.scope import Scope
from services.cli.importing.templates import template

KEYS: Final = ("type", "name", "subject", "time", "when", "id", "changes", "sequence", "extensions", "data")
MAX_ID: Final = 128
Key = Callable[[Row], str]

Repeated = Literal["refused", "known", "kept"]
"""What it means that the service holds an event of this id with other content: a flaw; no news; or that the row tells a
fact otherwise than before, where the first telling stands."""


class Rule:
    """Compiled from one entry of `events`. `name` is unique in its mapping and part of the ids that it gives."""

    def __init__(self, node: Node, source: str, key: Key, subject: Node | None, scope: Scope) -> None:
        parts = node.members(KEYS, required=("type", "time"))
        self.node = node
        self.type = parts["type"].word(tuple(EVENTS))
        self.name = parts["name"].word() if "name" in parts else self.type
        self.source = source
        self._key = key
        self._when: Condition | None = compile_condition(parts["when"], scope) if "when" in parts else None
        self._subject = _subject(parts.get("subject", subject), node, self.type, scope)
        self._time, self._of_day = _time(parts["time"], scope)
        self._id = template(parts["id"], scope) if "id" in parts else None
        self._changes, self.repeated = _changes(parts)
        self._attributes = [(name, values.compile_value(part, name, scope)) for name, part in _attributes(parts)]
        self._data = _data(parts.get("data"), node, self.type, scope)

    def event_of(self, row: Row, reasons: list[Reason]) -> dict[str, Any] | None:
        """The structured CloudEvent of this row, as a JSON value; None where `when` does not hold or it is refused.

        Why it is refused is added to `reasons`. Raises NameCollision.
        """
        if self._when is not None and not self._when(row):
            return None
        before = len(reasons)
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": None,
            "source": self.source,
            "type": self.type,
            "subject": self._tried("/subject", self._subject, row, reasons),
            "time": self._tried("/time", self._time, row, reasons),
        }
        if EVENTS[self.type].version > 1:
            event["dataschema"] = f"/schemas/{self.type}/{EVENTS[self.type].version}"
        if self._of_day:
            event["timeprecision"] = "day"
        for name, get in self._attributes:
            value = self._tried(f"/{name}", get, row, reasons)
            if value is not None:
                event[name] = str(value) if name == "sequence" else value
        data: dict[str, Any] = {}
        for name, get in self._data:
            value = self._tried(f"/data/{name}", get, row, reasons)
            if value is not None:
                data[name] = value
        event["data"] = data
        event["id"] = self._tried("/id", self._id or (lambda row: self._own_id(row, event)), row, reasons)
        for name in ("id", "subject", "time"):
            if event[name] is None and len(reasons) == before:
                reasons.append(Reason(f"/{name}", f"has no value in this row (event {self.name})"))
        return event if len(reasons) == before else None

    def _own_id(self, row: Row, event: dict[str, Any]) -> str:
        """`<key of the row>:<name of the rule>`, the same wherever the row stands in whatever file.

        Where the rule says what of it changes, a digest of that follows: another value is another fact.
        """
        text = f"{self._key(row)}:{self.name}"
        if self._changes:
            changing = msgspec.json.encode([event[part] for part in self._changes], order="deterministic")
            text = f"{text}:{blake2b(changing, digest_size=6).hexdigest()}"
        if len(text) <= MAX_ID and text.isprintable():
            return text
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @staticmethod
    def _tried(pointer: str, get: Getter, row: Row, reasons: list[Reason]) -> Any:
        try:
            return get(row)
        except NameCollision:
            raise
        except CellRefused as refused:
            reasons.append(Reason(pointer, str(refused)))
            return None


def key_of(node: Node, scope: Scope) -> Key:
    """What makes a row the same row in another file: a template of columns, or `"*"` for all its cells together."""
    if node.word() == "*":
        return _all_cells
    get = template(node, scope)

    def key(row: Row) -> str:
        found = get(row)
        if not found:
            raise CellRefused(f"the key {shown(node.text)} has no value in this row")
        return str(found)

    return key


def _changes(parts: dict[str, Node]) -> tuple[tuple[str, ...], Repeated]:
    """What of an event makes it another fact, and what a repetition with other content means."""
    node = parts.get("changes")
    if node is None:
        return (), "refused"
    given = frozenset(node.words())
    if given == {"none"}:
        return (), "kept"
    if "id" in parts:
        raise node.refuse("stands beside `id`: an id of your own says already what makes the event another one")
    if given == {"data"}:
        return ("data",), "known"
    if given == {"data", "time"}:
        return ("data", "time"), "refused"
    raise node.refuse("must be one of: none, data, [data, time]")


def _all_cells(row: Row) -> str:
    canonical = msgspec.json.encode(row.cells, order="deterministic")
    return blake2b(canonical, digest_size=16).hexdigest()


def _subject(given: Node | None, node: Node, type_name: str, scope: Scope) -> Getter:
    streams = EVENTS[type_name].streams
    if given is None:
        raise node.refuse(f"needs `subject`, here or for all events: such as {streams[0]}/{{column}}")
    if isinstance(given.value, str) and not given.value.startswith((*(f"{stream}/" for stream in streams), "{")):
        kinds = " or ".join(f"`{stream}/`" for stream in streams)
        raise given.refuse(f"must begin with {kinds}, the stream of a {type_name}")
    return values.compile_value(given, "subject", scope)


def _time(node: Node, scope: Scope) -> tuple[Getter, bool]:
    """What gives `time`, and whether only its day is known."""
    if not isinstance(node.value, dict) or values.operation_of(node) not in {"day", "instant"}:
        raise node.refuse('must say what the column holds: {day: "{column}"} or {instant: "{column}"}')
    get = values.compile_value(node, "time", scope)
    if values.operation_of(node) == "instant":
        return get, False
    zone = values.zone_of(node.value["zone"]) if "zone" in node.value else scope.defaults.zone
    return lambda row: None if (day := get(row)) is None else conversions.start_of_day(day, zone), True


def _attributes(parts: dict[str, Node]) -> list[tuple[str, Node]]:
    named = list(parts["extensions"].members().items()) if "extensions" in parts else []
    for name, part in named:
        if not (name.isascii() and name.isalnum() and name == name.lower() and len(name) <= 20) or name in KEYS:
            raise part.refuse(
                "an extension attribute is named with 1 to 20 of a-z and 0-9, and not like a key of events"
            )
    return [("sequence", parts["sequence"]), *named] if "sequence" in parts else named


def _data(node: Node | None, at: Node, type_name: str, scope: Scope) -> list[tuple[str, Getter]]:
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(EVENTS[type_name].body)}
    parts = node.members(fields) if node is not None else {}
    for name, required in fields.items():
        if required and name not in parts:
            raise (node or at).refuse(f"`data` of a {type_name} needs `{name}`")
    return [(name, values.compile_value(part, name, scope)) for name, part in parts.items()]
