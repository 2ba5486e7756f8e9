"""What a mapping writes for a value, compiled to a function of a row.

A text is a template: `"lead/{deal}"`. A mapping with one operation says what the text becomes (`{money: "{price}",
currency: USD}`), with modifiers that apply in this order: `when`, the operation's text, `alias`, `default`, the conversion.
Absence spreads: a template with an absent reference is absent, and an absent member is left out of its object.
"""

from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.currency import exponent
from services.cli.importing import conversions
from services.cli.importing.conditions import compile_condition
from services.cli.importing.node import Node
from services.cli.importing.row import CellRefused, Getter, Row, shown
from services.cli.importing.scope import Scope
from services.cli.importing.templates import template

_TEXTUAL: Final = ("alias", "unlisted", "default")
OPERATIONS: Final[dict[str, tuple[str, ...]]] = {
    "text": _TEXTUAL,
    "id": (*_TEXTUAL, "space"),
    "integer": (*_TEXTUAL, "decimal_mark"),
    "number": (*_TEXTUAL, "decimal_mark"),
    "money": (*_TEXTUAL, "decimal_mark", "currency", "unit", "round"),
    "day": (*_TEXTUAL, "format", "zone", "shift_days"),
    "instant": (*_TEXTUAL, "format", "zone"),
    "boolean": _TEXTUAL,
    "raw": (),
    "object": (),
    "first": (),
}
"""Each operation and the modifiers it knows; all know `when`."""


def compile_value(node: Node, space: str, scope: Scope) -> Getter:
    """`space` is where ids of this value live unless the mapping names another. Raises BadMapping."""
    if isinstance(node.value, list):
        return _list([compile_value(item, space, scope) for item in node.value])
    if not isinstance(node.value, dict):
        return _scalar(node, scope)
    operation = operation_of(node)
    parts = node.members({operation, "when", *OPERATIONS[operation]})
    if operation == "object":
        get = _object({name: compile_value(part, name, scope) for name, part in parts["object"].members().items()})
    elif operation == "first":
        get = _first([compile_value(item, space, scope) for item in parts["first"].items()])
    elif operation == "raw":
        get = _raw(parts["raw"], scope)
    else:
        get = _textual(operation, parts, space, scope)
    return _conditional(get, parts.get("when"), scope)


def operation_of(node: Node) -> str:
    """The one operation of a value that is a mapping. Raises BadMapping."""
    named = [name for name in node.members() if name in OPERATIONS]
    if len(named) != 1:
        found = "several operations" if named else "no operation"
        raise node.refuse(f"has {found}; a value is a text, or has exactly one of: {', '.join(OPERATIONS)}")
    return named[0]


def zone_of(node: Node) -> str:
    """An IANA time zone. Raises BadMapping."""
    try:
        return ZoneInfo(node.word()).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise node.refuse("is no time zone of the IANA database, such as Europe/Berlin") from None


def currency_of(node: Node) -> str:
    """An ISO 4217 code. Raises BadMapping."""
    if exponent(node.word()) is None:
        raise node.refuse("is not the code of a currency of ISO 4217, such as EUR")
    return node.text


def _scalar(node: Node, scope: Scope) -> Getter:
    if node.value is None:
        raise node.refuse("is empty; leave it out, or quote an empty text")
    if not isinstance(node.value, str):
        constant = node.value
        return lambda _row: constant
    return template(node, scope)


def _textual(operation: str, parts: dict[str, Node], space: str, scope: Scope) -> Getter:
    get = template(parts[operation], scope)
    if "alias" in parts:
        get = _renamed(get, parts["alias"], parts.get("unlisted"))
    elif "unlisted" in parts:
        raise parts["unlisted"].refuse("needs `alias` beside it")
    if "default" in parts:
        get = _defaulted(get, template(parts["default"], scope))
    if operation == "text":
        return get
    convert = _money(parts, scope) if operation == "money" else _conversion(operation, parts, space, scope)

    def converted(row: Row) -> Any:
        text = get(row)
        return None if text is None else convert(row, text)

    return converted


def _conversion(operation: str, parts: dict[str, Node], space: str, scope: Scope) -> Callable[[Row, str], Any]:
    mark = _mark(parts, scope)
    if operation == "id":
        place, names = parts["space"].word() if "space" in parts else space, scope.names
        return lambda _row, text: names.id_in(place, text)
    if operation == "integer":
        return lambda _row, text: conversions.integer(text, mark)
    if operation == "number":
        return lambda _row, text: conversions.real(text, mark)
    if operation == "boolean":
        return lambda _row, text: conversions.boolean(text)
    zone = zone_of(parts["zone"]) if "zone" in parts else scope.defaults.zone
    if operation == "day":
        formats = tuple(parts["format"].words()) if "format" in parts else scope.defaults.day_formats
        shift = _shift(parts["shift_days"]) if "shift_days" in parts else 0
        return lambda _row, text: conversions.day(text, formats, zone, shift)
    assert operation == "instant"
    formats = tuple(parts["format"].words()) if "format" in parts else scope.defaults.instant_formats
    return lambda _row, text: conversions.instant(text, formats, zone)


def _money(parts: dict[str, Node], scope: Scope) -> Callable[[Row, str], Any]:
    mark = _mark(parts, scope)
    minor = "unit" in parts and parts["unit"].word(("major", "minor")) == "minor"
    rounding = parts["round"].word(tuple(conversions.ROUNDING)) if "round" in parts else None
    given = parts.get("currency")
    if given is not None and "{" in given.word():
        currency_in = template(given, scope)
    else:
        constant = currency_of(given) if given is not None else scope.defaults.currency
        if constant is None:
            raise parts["money"].refuse("needs `currency`, here or in `defaults`")
        currency_in = lambda _row: constant  # noqa: E731  a constant beside a template

    def money(row: Row, text: str) -> dict[str, str]:
        currency = currency_in(row)
        if currency is None:
            raise CellRefused("has an amount but no currency")
        return {"amount": conversions.amount(text, currency, mark, minor, rounding), "currency": currency}

    return money


def _shift(node: Node) -> int:
    if type(node.value) is not int or abs(node.value) > 366:
        raise node.refuse("must be a whole number of days, such as -1")
    return node.value


def _mark(parts: dict[str, Node], scope: Scope) -> str:
    return parts["decimal_mark"].word((".", ",")) if "decimal_mark" in parts else scope.defaults.decimal_mark


def _renamed(get: Getter, alias: Node, unlisted: Node | None) -> Getter:
    names = {old: None if new.value is None else new.word() for old, new in alias.members().items()}
    otherwise = unlisted.word(("keep", "refuse", "absent")) if unlisted else "keep"

    def renamed(row: Row) -> Any:
        text = get(row)
        if text is None or text in names:
            return None if text is None else names[text]
        if otherwise == "refuse":
            raise CellRefused(f"{shown(text)} is not listed in `alias` ({alias.file}:{alias.line})")
        return text if otherwise == "keep" else None

    return renamed


def _defaulted(get: Getter, default: Getter) -> Getter:
    return lambda row: default(row) if (value := get(row)) is None else value


def _conditional(get: Getter, when: Node | None, scope: Scope) -> Getter:
    if when is None:
        return get
    holds = compile_condition(when, scope)
    return lambda row: get(row) if holds(row) else None


def _raw(node: Node, scope: Scope) -> Getter:
    pieces = scope.pieces(node.word(), node)
    if len(pieces) != 1 or isinstance(pieces[0], str):
        raise node.refuse('takes exactly one reference, such as "{utm}": the JSON value as it is')
    return pieces[0]


def _object(members: dict[str, Getter]) -> Getter:
    def built(row: Row) -> dict[str, Any] | None:
        found = {name: value for name, get in members.items() if (value := get(row)) is not None}
        return found or None

    return built


def _list(items: list[Getter]) -> Getter:
    def built(row: Row) -> list[Any] | None:
        return [value for get in items if (value := get(row)) is not None] or None

    return built


def _first(choices: list[Getter]) -> Getter:
    def chosen(row: Row) -> Any:
        return next((value for get in choices if (value := get(row)) is not None), None)

    return chosen
