"""Texts of cells as what events hold: numbers, money, days, instants, truth values. Each raises CellRefused."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.currency import exponent
from services.cli.importing.row import CellRefused, shown

ROUNDING: Final = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
TRUE: Final = frozenset({"true", "yes", "y", "t", "1"})
FALSE: Final = frozenset({"false", "no", "n", "f", "0"})

_GROUPED: Final = {
    ".": re.compile(r"[0-9]{1,3}([,' ][0-9]{3})+(\.[0-9]*)?"),
    ",": re.compile(r"[0-9]{1,3}([.' ][0-9]{3})+(,[0-9]*)?"),
}
_PLAIN: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_SPACES: Final = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'"})
_BARE_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}")


@lru_cache(maxsize=8_192)
def number(text: str, mark: str) -> Decimal:
    """`mark` is the decimal mark, `.` or `,`; groups of three and one leading or trailing currency sign are read too."""
    plain = text.translate(_SPACES).strip().strip("$€£¥").strip()
    if _GROUPED[mark].fullmatch(plain):
        plain = re.sub(r"[,' ]" if mark == "." else r"[.' ]", "", plain)
    if mark == ",":
        plain = plain.replace(",", ".") if "." not in plain else "ambiguous"
    if not _PLAIN.fullmatch(plain):
        raise CellRefused(f"{shown(text)} is no number with the decimal mark `{mark}`")
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise CellRefused(f"{shown(text)} is no number") from None


@lru_cache(maxsize=8_192)
def amount(text: str, currency: str, mark: str, minor: bool, rounding: str | None) -> str:
    """The decimal text of an amount, with exactly the decimals of its currency. `minor`: the cell counts cents."""
    decimals = exponent(currency)
    if decimals is None:
        raise CellRefused(f"{shown(currency)} is not the code of a currency of ISO 4217")
    value = number(text, mark)
    try:
        if minor:
            value = value.scaleb(-decimals)
        exact = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUNDING[rounding or "half_even"])
    except InvalidOperation:
        raise CellRefused(f"{shown(text)} is too large for an amount") from None
    if exact != value and rounding is None:
        raise CellRefused(f"{shown(text)} has more decimals than the {decimals} of {currency}; `round` may round it")
    return f"{exact:f}"


def integer(text: str, mark: str) -> int:
    value = number(text, mark)
    if value != value.to_integral_value() or abs(value) >= 2**53:
        raise CellRefused(f"{shown(text)} is no whole number")
    return int(value)


def real(text: str, mark: str) -> int | float:
    """A JSON number; whole ones without a point."""
    value = number(text, mark)
    return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)


def boolean(text: str) -> bool:
    word = text.lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise CellRefused(f"{shown(text)} is neither true nor false; `alias` can say what it means")


@lru_cache(maxsize=8_192)
def day(text: str, formats: tuple[str, ...], zone: str, shift: int = 0) -> str:
    """A calendar day as RFC 3339 full-date, `shift` days later. An instant is the day it falls on in `zone`."""
    try:
        bare = not formats and _BARE_DATE.fullmatch(text)
        found = date.fromisoformat(text) if bare else moment(text, formats, zone).date()
        return (found + timedelta(days=shift)).isoformat()
    except (ValueError, OverflowError):
        raise CellRefused(f"{shown(text)} is not in the calendar") from None


@lru_cache(maxsize=8_192)
def start_of_day(iso_day: str, zone: str) -> str:
    """The instant with which a day begins in `zone`, RFC 3339 with its offset."""
    return rfc3339(datetime.fromisoformat(iso_day).replace(tzinfo=ZoneInfo(zone)))


@lru_cache(maxsize=8_192)
def instant(text: str, formats: tuple[str, ...], zone: str) -> str:
    """RFC 3339 with offset; a time without one is local in `zone` (the earlier one, where a clock shows it twice)."""
    if not formats and _BARE_DATE.fullmatch(text):
        raise CellRefused(f"{shown(text)} is a date without a time of day: map it with `day`")
    return rfc3339(moment(text, formats, zone))


def moment(text: str, formats: tuple[str, ...], zone: str) -> datetime:
    """Aware, in `zone`; a date is its first instant there."""
    found = _read(text, formats)
    if found is None:
        expected = " or ".join(formats) if formats else "ISO 8601, such as 2026-01-31 or 2026-01-31 09:30:00"
        raise CellRefused(f"{shown(text)} is no date or time of the form {expected}")
    try:
        local = ZoneInfo(zone)
        return found.replace(tzinfo=local) if found.tzinfo is None else found.astimezone(local)
    except OverflowError:
        raise CellRefused(f"{shown(text)} is not in the calendar") from None


def _read(text: str, formats: tuple[str, ...]) -> datetime | None:
    for form in formats or ("iso", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"):
        try:
            if form == "iso":
                return datetime.fromisoformat(text)
            if form in {"unix", "unix_ms"}:
                return datetime.fromtimestamp(float(number(text, ".")) / (1 if form == "unix" else 1000), UTC)
            return datetime.strptime(text, form)  # noqa: DTZ007  the zone is added by the caller, who knows it
        except (ValueError, OverflowError, OSError, CellRefused):
            continue
    return None


def rfc3339(moment: datetime) -> str:
    text = moment.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text
