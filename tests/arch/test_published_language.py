"""What is committed of the published language is what the types say."""

import shutil
from pathlib import Path

import pytest

from services.cli import schemas
from services.cli.machine import CannotStart

MEND = "run `salescycle schemas write`, look at what changed, and commit it"


def test_the_committed_documents_are_what_is_generated() -> None:
    assert schemas.drifted(schemas.documents()) == [], MEND


def test_the_record_of_published_shapes_holds_the_present_ones() -> None:
    assert schemas.not_recorded() == "", MEND


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The documents, copied, to be spoilt."""
    for part in ("schemas/json", "schemas/golden", "schemas/openapi", "docs"):
        shutil.copytree(schemas.ROOT / part, tmp_path / part)
    shutil.copy(schemas.ROOT / "schemas/asyncapi.yaml", tmp_path / "schemas")
    return tmp_path


def test_a_document_that_was_edited_lost_or_left_over_is_found(checkout: Path) -> None:
    edited, lost, left_over = (checkout / f"schemas/json/{name}.json" for name in ("Won.1", "Lost.1", "Gone.1"))
    edited.write_text(edited.read_text() + " ")
    lost.unlink()
    left_over.write_text("{}")
    page = checkout / "docs/lifecycle.md"
    page.write_text(page.read_text().replace("| Won |", "| Gained |", 1))
    assert sorted(schemas.drifted(schemas.documents(checkout), checkout)) == [
        "docs/lifecycle.md is not what is generated",
        "schemas/json/Gone.1.json stands for nothing any more",
        "schemas/json/Lost.1.json is missing",
        "schemas/json/Won.1.json is not what is generated",
    ]


def test_what_is_written_by_hand_in_the_page_is_no_drift(checkout: Path) -> None:
    page = checkout / "docs/lifecycle.md"
    page.write_text("A new first line.\n" + page.read_text() + "And a last one.\n")
    assert schemas.drifted(schemas.documents(checkout), checkout) == []


def test_a_break_with_what_was_published_cannot_be_written(checkout: Path) -> None:
    record = checkout / schemas.PUBLISHED
    record.write_text(record.read_text().replace('"maxLength":3', '"maxLength":4', 1))
    with pytest.raises(CannotStart, match="Make it a new version"):
        schemas.not_recorded(checkout)


def test_a_shape_that_was_not_recorded_is_missed(checkout: Path) -> None:
    record = checkout / schemas.PUBLISHED
    *others, last = record.read_text().splitlines(keepends=True)
    record.write_text("".join(others))
    assert schemas.not_recorded(checkout) == last
