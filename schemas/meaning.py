"""What is wrong with a body that its schema cannot say: the calendar, the scale, the currency, one field against another.

Pure. Each check gives (RFC 6901 pointer below the document, sentence); no sentence echoes a value.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final, get_args

import msgspec

from schemas.currency import exponent
from schemas.events.corrections import EventCorrected
from schemas.events.fields import Body, Contract, Money, Period
from schemas.events.management import SurveyAnswered
from schemas.events.parties import AccountUpdated, OwnerUpdated, PersonUpdated
from schemas.events.plans import FxRatePublished, TargetSet
from schemas.events.transaction import Won

Flaw = tuple[str, str]

SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "implementation": (1, 5)}
"""Lowest and highest score of each kind of survey; answers on other scales are refused, never rescaled."""


@cache
def time_zones() -> frozenset[str]:
    """The time zones of the IANA database, as the package tzdata lists them."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


def flaws_of_meaning(body: Any, pointer: str = "/data") -> Iterator[Flaw]:
    """Everything that is wrong with the body, in the order of its fields."""
    kind: type[Body] = type(body)
    for name, alias in _parts(kind):
        value = getattr(body, name)
        if type(value) is tuple:
            for number, each in enumerate(value):
                yield from flaws_of_meaning(each, f"{pointer}/{alias}/{number}")
        elif value is not None:
            yield from flaws_of_meaning(value, f"{pointer}/{alias}")
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(body, pointer)


def is_sound(body: Any) -> bool:
    """Whether `flaws_of_meaning` finds nothing, at a quarter of its cost: what the accepting path asks."""
    kind: type[Body] = type(body)
    if kind is Money:
        decimals = exponent(body.currency)
        amount: str = body.amount
        point = amount.find(".")
        return decimals is not None and (point < 0 or len(amount) - point - 1 <= decimals)
    for name, _ in _parts(kind):
        value = getattr(body, name)
        if value is None:
            continue
        if type(value) is tuple:
            if not all(map(is_sound, value)):
                return False
        elif not is_sound(value):
            return False
    check = _CHECKS.get(kind)
    return check is None or next(check(body, ""), None) is None


@cache
def _parts(body: type[Body]) -> tuple[tuple[str, str], ...]:
    """(field, its name in JSON) of every field that holds a struct, or several, that could be wrong."""
    return tuple(
        (field.name, field.encode_name)
        for field in msgspec.structs.fields(body)
        if any(has_meaning(part) for part in _structs_in(field.type))
    )


def _structs_in(kind: Any) -> Iterator[type[Body]]:
    if isinstance(kind, type) and issubclass(kind, Body):
        yield kind
    for part in get_args(kind):
        yield from _structs_in(part)


@cache
def has_meaning(body: type[Body]) -> bool:
    """Whether anything of such a body could be wrong that its schema does not see."""
    return body in _CHECKS or bool(_parts(body))


def _money(money: Money, pointer: str) -> Iterator[Flaw]:
    decimals = exponent(money.currency)
    point = money.amount.find(".")
    if decimals is None:
        yield f"{pointer}/currency", "is not the code of a currency of ISO 4217."
    elif point >= 0 and len(money.amount) - point - 1 > decimals:
        yield f"{pointer}/amount", f"has more decimals than the {decimals} of its currency."


def _contract(contract: Contract, pointer: str) -> Iterator[Flaw]:
    if (contract.mrr is None) == (contract.amount is None):
        yield pointer, "needs exactly one of mrr and amount."


def _won(won: Won, pointer: str) -> Iterator[Flaw]:
    seen = set()
    for index, contract in enumerate(won.contracts):
        if contract.contract_id in seen:
            yield f"{pointer}/contracts/{index}/contract_id", "names a contract that this event names already."
        seen.add(contract.contract_id)


def _period(period: Period, pointer: str) -> Iterator[Flaw]:
    if period.end <= period.start:
        yield f"{pointer}/to", "must lie after `from`: the period ends before this day."


def _answer(answer: SurveyAnswered, pointer: str) -> Iterator[Flaw]:
    low, high = SCALES[answer.kind]
    if not low <= answer.score <= high:
        yield f"{pointer}/score", f"must be {low} to {high} in a survey of this kind."


def _zone(body: PersonUpdated | AccountUpdated | OwnerUpdated, pointer: str) -> Iterator[Flaw]:
    if body.time_zone is not None and body.time_zone not in time_zones():
        yield f"{pointer}/time_zone", "is no time zone of the IANA database, such as Europe/Berlin."


def _owner(owner: OwnerUpdated, pointer: str) -> Iterator[Flaw]:
    yield from _zone(owner, pointer)
    for index, hours in enumerate(owner.hours or ()):
        if hours.end <= hours.start:
            yield f"{pointer}/hours/{index}/to", "must lie after `from`; work past midnight is two stretches."
    for index, absence in enumerate(owner.absences or ()):
        if absence.last_day < absence.first_day:
            yield f"{pointer}/absences/{index}/last_day", "lies before the first day."


def _target(target: TargetSet, pointer: str) -> Iterator[Flaw]:
    if (target.scope.kind == "all") != (target.scope.id is None):
        yield f"{pointer}/scope/id", "is given for owner, team and region, and for them alone."
    if target.currency is not None and exponent(target.currency) is None:
        yield f"{pointer}/currency", "is not the code of a currency of ISO 4217."


def _rate(rate: FxRatePublished, pointer: str) -> Iterator[Flaw]:
    if not rate.rate.strip("0."):
        yield f"{pointer}/rate", "must be more than zero."


def _correction(correction: EventCorrected, pointer: str) -> Iterator[Flaw]:
    if not correction.data:
        yield (
            f"{pointer}/data",
            "must be the whole data as it should have been; to take an event back send EventRetracted.",
        )


_CHECKS: Final[dict[type[Body], Callable[[Any, str], Iterator[Flaw]]]] = {
    Money: _money, Contract: _contract, Won: _won, Period: _period, SurveyAnswered: _answer, PersonUpdated: _zone,
    AccountUpdated: _zone, OwnerUpdated: _owner, TargetSet: _target, FxRatePublished: _rate, EventCorrected: _correction,
}  # fmt: skip
