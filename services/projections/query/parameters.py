"""What a metric lets its users choose: parameters with a name, a meaning, a default, and a strict reading of the text."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from services.kernel.errors import Flaw, Invalid


class Parameter(NamedTuple):
    """`default` is the text that counts where none is given; `read` makes the value of a text, or raises ValueError whose
    message ends the sentence "The parameter …"."""

    name: str
    description: str
    default: str
    read: Callable[[str], Any]
    choices: tuple[str, ...] = ()

    def value(self, given: str | None) -> Any:
        """Raises Invalid."""
        try:
            return self.read(self.default if given is None else given)
        except ValueError as flaw:
            raise refused(self.name, str(flaw)) from None


def refused(name: str, detail: str) -> Invalid:
    """The refusal of one parameter of the query."""
    return Invalid("The query breaks a rule.", errors=[Flaw(f"/query/{name}", detail)])


def choice(name: str, description: str, *choices: str) -> Parameter:
    """One of a few words; the first is the default."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}.")
        return text

    return Parameter(name, description, choices[0], read, choices)


def whole(name: str, description: str, default: int, least: int, most: int) -> Parameter:
    """A whole number."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}.")
        return int(text)

    return Parameter(name, description, str(default), read)


def flag(name: str, description: str, *, default: bool = False) -> Parameter:
    """true or false."""

    def read(text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError("must be true or false.")
        return text == "true"

    return Parameter(name, description, "true" if default else "false", read, ("true", "false"))


def word(name: str, description: str, pattern: str = r"[^\x00-\x1f]{1,200}", default: str = "") -> Parameter:
    """Any text of a pattern; the empty default reads as None."""

    def read(text: str) -> str | None:
        if not text and not default:
            return None
        if not re.fullmatch(pattern, text):
            raise ValueError("is not of the form that it must have.")
        return text

    return Parameter(name, description, default, read)


def _shares(text: str) -> tuple[Fraction, ...]:
    found = text.split(",")
    if len(found) > 20 or not all(re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", each) for each in found):
        raise ValueError("must be up to 20 numbers with commas, such as 10,50,90.")
    shares = tuple(map(Fraction, found))
    if len(set(shares)) < len(shares) or not all(0 < share <= 100 for share in shares):
        raise ValueError("must be different numbers above 0, up to 100.")
    return shares


PERCENTILES = Parameter("percentiles", "Which percentiles, with commas.", "10,50,90", _shares)
PERCENTILE_METHOD = choice(
    "percentile_method", "Linear interpolation (type 7 of Hyndman and Fan 1996), or the nearest rank.", "linear", "nearest_rank"
)  # fmt: skip
OUTCOME = choice("outcome", "Of which closed deals.", "won", "lost", "all")
