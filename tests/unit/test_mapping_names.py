"""Ids from names: always an id, readable, and the same."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.importing.names import NameBook, id_of
from services.cli.importing.row import NameCollision


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("Moses Frase", "Moses-Frase"),
        ("GTX Plus Pro", "GTX-Plus-Pro"),
        ("Zoë O'Neil", "Zoe-O-Neil"),
        ("Müller & Söhne", "Muller-Sohne"),
        ("Łódź", "Lodz"),
        ("Straße 5", "Strasse-5"),
        ("0061G00000N38JZQAZ", "0061G00000N38JZQAZ"),
        ("a--b_.:", "a--b_.:"),
        ("wh+Wm18D0z1D4E+PE252gg==", "wh-Wm18D0z1D4E-PE252gg"),
    ],
)
def test_names_stay_readable(name: str, id_: str) -> None:
    assert id_of(name) == id_


def test_letters_that_have_no_ascii_form_are_told_apart_by_a_digest() -> None:
    one, other = id_of("株式会社 ABC"), id_of("有限会社 ABC")
    assert one.startswith("ABC.")
    assert one != other
    assert id_of("***").startswith("n.")
    assert id_of("***") != id_of("???")


@given(st.text(min_size=1, max_size=300))
def test_any_name_gives_an_id_that_stays_what_it_is(name: str) -> None:
    found = id_of(name)
    assert re.fullmatch("[A-Za-z0-9._:-]{1,128}", found)
    assert id_of(found) == found


@given(st.lists(st.text("aAäÄ -_'.", min_size=1, max_size=4), max_size=20))
def test_no_id_ever_stands_for_two_names(names: list[str]) -> None:
    book = NameBook()
    holders: dict[str, str] = {}
    for name in names:
        same = " ".join(name.split())
        try:
            found = book.id_in("people", name)
        except NameCollision:
            assert id_of(same) in holders
            continue
        assert holders.setdefault(found, same) == same


def test_spaces_do_not_meet() -> None:
    book = NameBook()
    assert book.id_in("owner", "a b") == book.id_in("product", "a-b") == "a-b"
