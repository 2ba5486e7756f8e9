"""The kinds of value that stand in the data of events: identifiers, names, money, days, instants, person data.

Patterns are enforced through the JSON Schema alone (`Meta(extra_json_schema=...)`): msgspec would pay 0.5 µs for each. An
optional field is left out where it is not known; `null` is refused, so that one fact has one form. Sets that will grow
(channels, kinds, reasons) are open strings whose shipped values the description lists; closed sets are literals.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ID_PATTERN = "^[A-Za-z0-9._:-]+$"
VISIBLE = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$"
SOURCE_PATTERN = r"^([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$"
_PROSE = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]+$"
_YEARS = "^(19|20|21)[0-9]{2}-"
_AMOUNT = r"^(0|[1-9][0-9]{0,15})(\.[0-9]{1,4})?$"
_PII = {"x-pii": True}


def only_schema(**keywords: Any) -> Meta:
    return Meta(extra_json_schema=keywords)


def doc(meaning: str, example: Any = None, *, pii: bool = False) -> Meta:
    """What a field means, in which unit, and one value that it may have: it stands in the published schema."""
    examples = [] if example is None else [example]
    mark: dict[str, Any] = {"extra": {"pii": True}, "extra_json_schema": _PII} if pii else {}
    return Meta(description=meaning, examples=examples or None, **mark)


Id = Annotated[str, Meta(min_length=1, max_length=128), only_schema(pattern=ID_PATTERN)]
"""The caller's own identifier: letters, digits, `.`, `_`, `:`, `-`."""
ContractId = Annotated[str, Meta(min_length=1, max_length=160), only_schema(pattern=ID_PATTERN)]
"""An identifier with room for a prefix: a competitor's contract is `competitor:<lead>`."""
Code = Annotated[str, Meta(min_length=1, max_length=128), only_schema(pattern=ID_PATTERN)]
"""A word of an open set, written like an identifier."""
Name = Annotated[str, Meta(min_length=1, max_length=200), only_schema(pattern=VISIBLE)]
"""A name as people write it, on one line, with no invisible character."""
Prose = Annotated[str, Meta(min_length=1, max_length=2_000, extra={"pii": True}), only_schema(pattern=_PROSE, **_PII)]
"""Free text. People write about people, so it is person data."""
Day = Annotated[date, only_schema(pattern=_YEARS)]
"""A calendar day, RFC 3339 full-date, 1900 to 2199: a year outside is a slip of the keyboard."""
Instant = Annotated[datetime, Meta(tz=True), only_schema(pattern=_YEARS)]
"""RFC 3339 date-time with its offset, 1900 to 2199."""
Decimal = Annotated[str, Meta(max_length=21), only_schema(pattern=_AMOUNT)]
"""A decimal number as text, zero or more: at most 16 digits before the point and 4 after it."""
Rate = Annotated[str, Meta(max_length=24), only_schema(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,10})?$")]
"""A decimal number as text, more than zero: at most 12 digits before the point and 10 after it."""
Currency = Annotated[str, Meta(max_length=3), only_schema(pattern="^[A-Z]{3}$")]
"""ISO 4217 code."""
TimeZone = Annotated[str, Meta(min_length=1, max_length=64), only_schema(pattern="^[A-Za-z0-9_+/-]+$")]
"""A time zone of the IANA database; that it exists is checked beside the schema."""
Country = Annotated[str, Meta(max_length=2), only_schema(pattern="^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2 code."""
Locale = Annotated[str, Meta(max_length=35), only_schema(pattern="^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
"""BCP 47 language tag."""
Probability = Annotated[float, Meta(ge=0, le=1)]
"""0 to 1."""
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
PersonName = Annotated[
    str, Meta(min_length=1, max_length=200, extra={"pii": True}), only_schema(pattern=_PROSE, **_PII)
]
Email = Annotated[
    str,
    Meta(max_length=254, extra={"pii": True}),
    only_schema(pattern=r"^[^\s@\u0000-\u001f]+@[^\s@\u0000-\u001f]+$", **_PII),
]
Phone = Annotated[
    str, Meta(min_length=3, max_length=40, extra={"pii": True}), only_schema(pattern="^[0-9+() ./x-]+$", **_PII)
]
Birthday = Annotated[date, Meta(extra={"pii": True}), only_schema(pattern=_YEARS, **_PII)]


OriginKind = Literal["upgrade", "renewal", "cross_sell", "win_back", "displacement", "split"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Root of everything that stands in the `data` of an event."""


class Money(Body, frozen=True, kw_only=True):
    """An amount of one currency. At most 16 digits before the point, and no more decimals than the currency has."""

    amount: Annotated[Decimal, doc("Decimal number as text, never a float; zero or more.", "1234.50")]
    currency: Annotated[Currency, doc("ISO 4217 code.", "EUR")]


class Period(Body, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """Whole days, half-open: `from` is the first day in it, `to` the first day after it."""

    start: Annotated[Day, doc("First day of the period.", "2026-01-01")]
    end: Annotated[Day, doc("First day after the period.", "2026-02-01")]


class Person(Body, frozen=True, kw_only=True):
    """Who the lead is. Every field is person data and can be erased."""

    name: Annotated[PersonName | None, doc("Full name, as the person writes it.", "Mina Okafor")] = None
    email: Annotated[Email | None, doc("Address of electronic mail, RFC 5321.", "mina@example.com")] = None
    phone: Annotated[Phone | None, doc("Telephone number, best in E.164.", "+49301234567")] = None
    birthday: Annotated[Birthday | None, doc("Day of birth.", "1984-02-29")] = None


class Origin(Body, frozen=True, kw_only=True):
    """The earlier cycle that this one grew out of."""

    lead_id: Annotated[Id, doc("Lead of the earlier cycle, without `lead/`.", "L-1000")]
    kind: Annotated[OriginKind, doc("How this cycle grew out of it.", "upgrade")]


class Contract(Body, frozen=True, kw_only=True):
    """What was sold: a recurring `mrr` or a one-off `amount`, exactly one of the two."""

    contract_id: Annotated[ContractId, doc("Identifier of the contract, unique within its lead.", "C-77")]
    mrr: Annotated[Money | None, doc("Recurring revenue per month, before tax; a yearly price divided by 12.")] = None
    amount: Annotated[Money | None, doc("One-off price, before tax.")] = None
    product: Annotated[Id | None, doc("Product sold (stream `product/<id>`).", "gtx-pro")] = None
    term_start: Annotated[Day | None, doc("First day of the term.", "2026-01-01")] = None
    term_end: Annotated[Day | None, doc("Last day of the term; absent for no end.", "2026-12-31")] = None
