"""`when`: a small closed set of tests on the values of a row.

when: {deal_stage: {in: [Won, Lost]}, close_date: present}     all must hold
when: {any: [{stage: Won}, {is_won: {equals: "true"}}]}        one must hold
when: {not: {region: absent}}
when: {stage: {not_equals: "{previous.stage}"}, end: {before: now}}
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from services.cli.importing import conversions
from services.cli.importing.node import Node
from services.cli.importing.row import Getter, Row, text_of
from services.cli.importing.scope import Scope
from services.cli.importing.templates import template

Condition = Callable[[Row], bool]

TESTS: Final = ("equals", "not_equals", "in", "not_in", "matches", "before", "after", "present", "absent")


def compile_condition(node: Node, scope: Scope) -> Condition:
    """The test of a row that `when` describes. Raises BadMapping."""
    tests = [_member(name, part, scope) for name, part in node.members().items()]
    if not tests:
        raise node.refuse("needs at least one test")
    return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)


def _member(name: str, part: Node, scope: Scope) -> Condition:
    if name in {"any", "all"}:
        tests = [compile_condition(item, scope) for item in part.items()]
        fold = any if name == "any" else all
        return lambda row: fold(test(row) for test in tests)
    if name == "not":
        inner = compile_condition(part, scope)
        return lambda row: not inner(row)
    return _test(scope.reference(name, part), part, scope)


def _test(get: Getter, part: Node, scope: Scope) -> Condition:
    if not isinstance(part.value, dict):
        word = part.word()
        if word in {"present", "absent"}:
            return _presence(get, word == "present")
        return _equal(get, part, scope, True)
    tests = part.members(TESTS)
    if len(tests) != 1:
        raise part.refuse(f"needs exactly one of: {', '.join(TESTS)}")
    ((kind, given),) = tests.items()
    if kind in {"present", "absent"}:
        if not isinstance(given.value, bool):
            raise given.refuse("needs true or false")
        return _presence(get, (kind == "present") == given.value)
    if kind in {"in", "not_in"}:
        return _among(get, frozenset(item.word() for item in given.items()), kind == "in")
    if kind in {"before", "after"}:
        return _order(get, given, scope, kind == "before")
    if kind == "matches":
        return _match(get, given)
    return _equal(get, given, scope, kind == "equals")


def _presence(get: Getter, wanted: bool) -> Condition:
    return lambda row: (get(row) is not None) is wanted


def _among(get: Getter, words: frozenset[str], wanted: bool) -> Condition:
    """A value that is absent equals nothing."""

    def test(row: Row) -> bool:
        value = get(row)
        return (value is not None and text_of(value) in words) is wanted

    return test


def _equal(get: Getter, given: Node, scope: Scope, wanted: bool) -> Condition:
    if "{" not in given.word():
        return _among(get, frozenset({given.text}), wanted)
    other = template(given, scope)

    def test(row: Row) -> bool:
        value = get(row)
        return (value is not None and text_of(value) == other(row)) is wanted

    return test


def _match(get: Getter, given: Node) -> Condition:
    try:
        pattern = re.compile(given.word())
    except re.error as error:
        raise given.refuse(f"is no regular expression: {error}") from None
    return lambda row: (value := get(row)) is not None and pattern.fullmatch(text_of(value)) is not None


def _order(get: Getter, given: Node, scope: Scope, earlier: bool) -> Condition:
    """Which of two moments comes first; a date is its first instant. One that is absent is neither before nor after."""
    defaults = scope.defaults
    formats = (*defaults.instant_formats, *defaults.day_formats, "iso", "%Y-%m-%d %H:%M:%S")
    limit = template(given, scope)

    def moment(value: object) -> datetime:
        return conversions.moment(text_of(value), formats, defaults.zone)

    def test(row: Row) -> bool:
        value, bound = get(row), limit(row)
        if value is None or bound is None:
            return False
        edge = row.now if bound == "now" else moment(bound)
        if edge is None:
            return False
        return moment(value) < edge if earlier else moment(value) > edge

    return test
