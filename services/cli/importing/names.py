"""Ids from names: readable, the same every time, and never one id for two names."""

import re
import unicodedata
from hashlib import blake2b
from typing import Final

from services.cli.importing.row import CellRefused, NameCollision, shown

MAX_ID: Final = 128
MAX_NAMES: Final = 200_000
"""Names that one import remembers per space; ids of rows are taken as they are and need no memory."""

_IS_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NOT_ID: Final = re.compile(r"[^A-Za-z0-9._:-]+")
_LETTERS: Final = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
        "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "ı": "i", "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N",
    }
)  # fmt: skip


def id_of(name: str) -> str:
    """An id (1 to 128 of `A-Z a-z 0-9 . _ : -`) for any name: `Zoë O'Neil` gives `Zoe-O-Neil`.

    A name that is an id already stays as it is. Letters lose their marks; what else an id cannot hold becomes one `-`.
    Where letters of another script were lost, or the name is too long, a digest of the whole name is appended.
    """
    if _IS_ID.fullmatch(name):
        return name
    folded = "".join(
        mark for mark in unicodedata.normalize("NFKD", name.translate(_LETTERS)) if not unicodedata.combining(mark)
    )
    readable = _NOT_ID.sub("-", folded).strip("-")
    if readable and len(readable) <= MAX_ID and not any(mark.isalnum() and not mark.isascii() for mark in folded):
        return readable
    digest = blake2b(unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{readable[: MAX_ID - 17].strip('-')}.{digest}" if readable else f"n.{digest}"


class NameBook:
    """Remembers which name gave which id, per space (owners, products …), to refuse a second name for one id."""

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, str]] = {}

    def id_in(self, space: str, name: str) -> str:
        """`id_of(name)`; names that differ in white space or in how a mark is encoded are one name.

        Raises NameCollision where another name of the space has the id, CellRefused past MAX_NAMES.
        """
        name = " ".join(unicodedata.normalize("NFC", name).split())
        names = self._spaces.setdefault(space, {})
        given = id_of(name)
        holder = names.get(given)
        if holder is None:
            if len(names) >= MAX_NAMES:
                raise CellRefused(f"is one of more than {MAX_NAMES} names of {space}: map a column of ids instead")
            names[given] = name
        elif holder != name:
            raise NameCollision(
                f"{shown(name)} and {shown(holder)} would both get the id {given} in {space}. Where they are the same, "
                "let `alias` make one name of them; where not, let `alias` give one of them another name"
            )
        return given
