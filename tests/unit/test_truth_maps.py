"""The truth maps are well-formed everywhere, and what reads them tells right from wrong; the sets themselves are elsewhere."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from services.cli.importer import SHIPPED
from services.cli.importing.mapping import Mapping
from tests.support.truth_maps import SETS, Figure, Row, TruthMap, equal, matched

LEADS: list[Row] = [
    {"id": "a", "owner": "Ana-B", "at": "2017-02-03", "value": {"amount": "2.50"}, "contracts": [{"n": 1}, {"n": 2}]},
    {"id": "b", "owner": "Ana-B", "at": "2017-05-01", "contracts": []},
    {"id": "c", "owner": "Bo-K", "at": "2017-03-31", "value": {"amount": "10"}},
]


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_a_map_whose_mappings_ship(name: str) -> None:
    truth_map = TruthMap(name)
    assert truth_map.figures
    assert truth_map.not_covered
    for each in truth_map.imports:
        mapping = Mapping.read(SHIPPED / f"{each.mapping}.yaml")
        sources = {rule.source for rule in mapping.rules}
        assert len(sources) == 1
    sources = {Mapping.read(SHIPPED / f"{each.mapping}.yaml").rules[0].source for each in truth_map.imports}
    asked = {figure.where["source"] for figure in truth_map.figures if "source" in figure.where}
    assert asked <= sources, "a figure asks for events that nothing imports"


def checked(truth: dict[str, Any], figures: list[Figure], not_covered: list[Figure]) -> list[tuple[str, Any, bool]]:
    truth_map = object.__new__(TruthMap)
    truth_map.name, truth_map.imports = "tried", []
    truth_map.figures, truth_map.not_covered = figures, not_covered

    def ask(_route: str, _parameters: dict[str, str]) -> Sequence[Row]:
        return LEADS

    return [("::".join(each.key), each.found, each.covered) for each in truth_map.check(truth, ask)]


@pytest.mark.parametrize(
    ("where", "how", "column", "each", "found"),
    [
        ({}, "count", "", "", Decimal(3)),
        ({"owner": "{1|id}"}, "count", "", "", Decimal(2)),
        ({"owner": "{1|id}", "at": "{2|quarter}*"}, "count", "", "", Decimal(1)),
        ({"at": "2017-0*", "value": "absent"}, "min", "id", "", "b"),
        ({"id": ["a", "c"]}, "sum", "value.amount", "", Decimal("12.50")),
        ({"id": {"not": "a"}}, "max", "value.amount", "", Decimal(10)),
        ({}, "distinct", "owner", "", Decimal(2)),
        ({"n": "{2|quarter}"}, "count", "", "contracts", Decimal(0)),
        ({}, "sum", "n", "contracts", Decimal(3)),
    ],
)
def test_a_figure_is_read_from_the_rows_that_count(
    where: dict[str, Any], how: str, column: str, each: str, found: Any
) -> None:
    figure = Figure([("by", "*", "*")], "/v1/leads", {}, each, where, how, tuple(column.split(".")))
    assert checked({"by": {"Ana B": {"2017Q1": 0}}}, [figure], []) == [("by::Ana B::2017Q1", found, True)]


def test_every_figure_is_named_once_and_every_name_is_of_a_figure() -> None:
    count = Figure([("n",)], "/v1/leads", {}, "", {}, "count", ("rows",))
    nothing = Figure([("rest", "**")], because="not yet")
    assert checked({"n": 3, "rest": {"a": 1, "b": [2]}}, [count], [nothing]) == [
        ("n", Decimal(3), True),
        ("rest::a", None, False),
        ("rest::b", None, False),
    ]
    with pytest.raises(ValueError, match="n is named by 2 entries"):
        checked({"n": 3}, [count, count], [])
    with pytest.raises(ValueError, match="more is named by 0 entries"):
        checked({"n": 3, "more": 1}, [count], [])
    with pytest.raises(ValueError, match=r"no figure is named rest::\*\*"):
        checked({"n": 3}, [count], [nothing])


def test_figures_are_compared_as_what_they_are() -> None:
    assert equal(Decimal("2457.0"), 2457)
    assert not equal(Decimal("2457.01"), 2457.0)
    assert equal("2021-01-07T06:49:18.000000Z", "2021-01-07 06:49:18")
    assert not equal(None, 0)
    assert matched(("a", "*/*"), ("a", "x/y")) == ("x", "y")
    assert matched(("a", "*"), ("a", "x", "y")) is None
