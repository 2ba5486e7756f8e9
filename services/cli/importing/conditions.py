"""`when`: a small closed set of tests on the values of a row.

when: {deal_stage: {in: [Won, Lost]}, close_date: present}     all must hold
when: {any: [{stage: Won}, {is_won: {equals: "true"}}]}        one must hold
when: {not: {region: absent}}
"""

from collections.abc import Callable
from typing import Final

from services.cli.importing.node import Node
from services.cli.importing.row import Getter, Row, text_of

Condition = Callable[[Row], bool]

TESTS: Final = ("equals", "not_equals", "in", "not_in", "present", "absent")


def compile_condition(node: Node, reference: Callable[[str, Node], Getter]) -> Condition:
    """The test of a row that `when` describes. Raises BadMapping."""
    tests = [_member(name, part, reference) for name, part in node.members().items()]
    if not tests:
        raise node.refuse("needs at least one test")
    return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)


def _member(name: str, part: Node, reference: Callable[[str, Node], Getter]) -> Condition:
    if name in {"any", "all"}:
        tests = [compile_condition(item, reference) for item in part.items()]
        fold = any if name == "any" else all
        return lambda row: fold(test(row) for test in tests)
    if name == "not":
        inner = compile_condition(part, reference)
        return lambda row: not inner(row)
    return _test(reference(name, part), part)


def _test(get: Getter, part: Node) -> Condition:
    if not isinstance(part.value, dict):
        word = part.word()
        if word in {"present", "absent"}:
            return _presence(get, word == "present")
        return _among(get, frozenset({word}), True)
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
    return _among(get, frozenset({given.word()}), kind == "equals")


def _presence(get: Getter, wanted: bool) -> Condition:
    return lambda row: (get(row) is not None) is wanted


def _among(get: Getter, words: frozenset[str], wanted: bool) -> Condition:
    """A value that is absent equals nothing."""

    def test(row: Row) -> bool:
        value = get(row)
        return (value is not None and text_of(value) in words) is wanted

    return test
