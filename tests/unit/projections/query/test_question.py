"""What a query may say: given texts, when they are read, then these values, or a refusal that names the parameter."""

from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import BadCursor, Invalid, RangeTooWide
from services.kernel.http_listing import encode_cursor
from services.projections.metrics import METRICS
from services.projections.query.metric import Metric
from services.projections.query.parameters import PERCENTILES, Parameter, choice, flag, whole, word
from services.projections.query.question import Question, parameters_of
from services.projections.readings import Freshness

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
FRESH = Freshness({}, NOW, NOW, "UTC")
WIN_RATE = METRICS["win_rate"]


async def nothing(*_: Any) -> Any:
    raise NotImplementedError


LIST = Metric("a_list", 1, "", "", "", {}, "period", ("owner",), nothing, (whole("days", "", 7, 1, 9),), listed=True)


def asked(metric: Metric = WIN_RATE, /, **given: str) -> Any:
    question = Question(metric, {name.rstrip("_"): text for name, text in given.items()}, "Europe/Berlin")
    return question.asked(FRESH, question.known_at, None)


def refusal(metric: Metric = WIN_RATE, /, **given: str) -> list[str]:
    with pytest.raises(Invalid) as refused:
        asked(metric, **given)
    return [flaw.pointer for flaw in refused.value.errors]


def test_without_anything_it_is_all_until_now() -> None:
    found = asked()
    assert (found.as_of, found.known_at, found.zone, found.periods.end) == (NOW, None, "Europe/Berlin", NOW)
    assert (found.group_by, found.filters, found.dims, found.limit) == ((), {}, "event", 50)


def test_a_date_is_the_begin_of_a_period_and_the_end_of_what_is_known() -> None:
    found = asked(from_="2025-03-01", to="2025-04-01", as_of="2025-04-30", known_at="2025-05-01")
    assert found.periods.edges == (datetime(2025, 2, 28, 23, tzinfo=UTC), datetime(2025, 3, 31, 22, tzinfo=UTC))
    assert (found.as_of, found.known_at) == (
        datetime(2025, 4, 30, 22, tzinfo=UTC),
        datetime(2025, 5, 1, 22, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"from_": "2025-03-01", "to": "2025-03-01"}, "to"),
        ({"from_": "2025-03-02", "to": "2025-03-01"}, "to"),
        ({"from_": "2025-07-01"}, "from"),
        ({"as_of": "2025-03-01", "from_": "2025-03-02"}, "from"),
        ({"interval": "day"}, "interval"),
        ({"interval": "hour"}, "interval"),
        ({"fiscal_start": "13"}, "fiscal_start"),
        ({"fiscal_start": "0x1"}, "fiscal_start"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "localtime\x00"}, "zone"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "QQQ"}, "currency"),
        ({"group_by": "owner,nobody"}, "group_by"),
        ({"group_by": "owner,,team"}, "group_by"),
        ({"dims": "past"}, "dims"),
        ({"as_of": "2025-02-30"}, "as_of"),
        ({"as_of": "2300-01-01"}, "as_of"),
        ({"known_at": "99999999999999"}, "known_at"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_by_name(given: dict[str, str], pointer: str) -> None:
    assert refusal(**given) == [f"/query/{pointer}"]


def test_a_range_that_is_too_wide() -> None:
    with pytest.raises(RangeTooWide):
        asked(from_="1950-01-01", interval="day")


def test_a_cursor_goes_on_where_its_own_query_ended() -> None:
    question = Question(LIST, {"owner": "ana", "days": "3"}, "UTC")
    cursor = encode_cursor([question.identity(), ["L-7", 3]])
    assert asked(LIST, owner="ana", days="3", cursor=cursor, limit="7").after == ["L-7", 3]
    for other in (
        {"owner": "ben", "days": "3"},
        {"owner": "ana"},
        {"owner": "ana", "days": "3", "as_of": "2025-03-01"},
    ):
        assert refusal(LIST, cursor=cursor, **other) == ["/query/cursor"]


@pytest.mark.parametrize("payload", [None, 7, "x", [], [1], [1, 2, 3], {"a": 1}])
def test_a_cursor_that_another_list_signed_is_refused(payload: Any) -> None:
    assert refusal(LIST, cursor=encode_cursor(payload)) == ["/query/cursor"]


@given(st.text(max_size=60))
def test_a_forged_cursor_is_no_cursor(text: str) -> None:
    with pytest.raises((BadCursor, Invalid)):
        asked(LIST, cursor=text)


@given(st.sampled_from(sorted(METRICS)), st.data())
def test_any_text_in_any_parameter_is_read_or_refused(metric: str, data: st.DataObject) -> None:
    names = [each.name for each in parameters_of(METRICS[metric])]
    given = data.draw(
        st.dictionaries(
            st.sampled_from(names),
            st.text(max_size=30) | st.from_regex(r"[0-9,.:T-]{0,20}", fullmatch=True),
            max_size=4,
        )
    )
    with suppress(Invalid, RangeTooWide, BadCursor):
        Question(METRICS[metric], given, "UTC").asked(FRESH, None, None)


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (choice("x", "", "a", "b"), {"a": "a", "b": "b"}, ("", "A", "a,b")),
        (whole("x", "", 5, -3, 10), {"-3": -3, "10": 10, "007": 7}, ("", "11", "-4", "1.0", "1e1", "९", "9999999999999999999")),
        (flag("x", ""), {"true": True, "false": False}, ("", "1", "True")),
        (word("x", "", "[A-Z]{3}"), {"EUR": "EUR", "": None}, ("eur", "EURO", "EUR\n")),
        (PERCENTILES, {"10,50": (10, 50), "99.5": (Fraction("99.5"),)}, ("", "0", "101", "10,10", "1e1", "nan", ",", "1," * 30)),
    ],
)  # fmt: skip
def test_parameters(parameter: Parameter, good: dict[str, Any], bad: tuple[str, ...]) -> None:
    assert {text: parameter.value(text) for text in good} == good
    for text in bad:
        with pytest.raises(Invalid):
            parameter.value(text)
