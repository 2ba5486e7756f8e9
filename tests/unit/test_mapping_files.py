"""Rows out of files as other systems write them, and refused rows that can be mended and read again."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from services.cli.importing.mapping import Mapping
from services.cli.importing.node import BadMapping
from services.cli.importing.reading import Source, Unreadable
from services.cli.importing.refusals import Refusals
from services.cli.importing.row import Reason, Row
from services.cli.machine import CannotStart

TEXT = """
mapping: 1
source: /tests
key: "{id}"
subject: lead/{id}
input: {INPUT}
events: [{type: LeadCaptured, time: {day: "{on}"}, data: {source_channel: web, region: "{region}"}}]
"""


def mapping(given: str = "{}") -> Mapping:
    return Mapping(TEXT.replace("{INPUT}", given), "m.yaml")


def rows(path: Path, given: str = "{}") -> list[Row]:
    return list(Source(path, mapping(given)).rows())


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_cells_are_trimmed_and_empty_ones_are_not_there(tmp_path: Path) -> None:
    found = rows(
        written(tmp_path / "a.csv", b"\xef\xbb\xbfid, on,region,more\n1, 2026-01-05 ,NULL,x\n\n2,,West,y\n"),
        "{empty: ['NULL']}",
    )
    assert [(row.line, row.cells) for row in found] == [
        (2, {"id": "1", "on": "2026-01-05"}),
        (4, {"id": "2", "region": "West"}),
    ]


def test_a_cell_may_hold_lines_and_the_row_is_where_it_begins(tmp_path: Path) -> None:
    found = rows(written(tmp_path / "a.csv", b'id,on,region\r\n1,x,"a\r\nb"\r\n2,x,c\r\n'))
    assert [(row.line, row.cells["region"]) for row in found] == [(2, "a\r\nb"), (4, "c")]


def test_tabs_gzip_other_encodings_and_files_without_a_header(tmp_path: Path) -> None:
    assert rows(written(tmp_path / "a.tsv", b"id\ton\tregion\n1\tx\tW\n"))[0].cells["region"] == "W"
    zipped = written(tmp_path / "a.csv.gz", gzip.compress(b"id,on,region\n1,x,W\n"))
    assert rows(zipped)[0].cells["region"] == "W"
    latin = written(tmp_path / "l.csv", "id,on,region\n1,x,Köln\n".encode("cp1252"))
    assert rows(latin, "{encoding: cp1252}")[0].cells["region"] == "Köln"
    bare = written(tmp_path / "b.csv", b"1,x,W\n")
    assert [(row.line, row.cells) for row in rows(bare, "{columns: [id, 'on', region]}")] == [
        (1, {"id": "1", "on": "x", "region": "W"})
    ]


def test_a_line_that_is_no_row_is_refused_alone(tmp_path: Path) -> None:
    found = rows(written(tmp_path / "a.csv", b"id,on,region\n1,x\n2,x,W\n3,x,K\xf6ln\n"))
    assert [row.flaw for row in found] == [
        "has 2 cells where the header has 3",
        None,
        "the column region is not utf-8; `encoding` in the mapping's `input` says which it is",
    ]


def test_lines_of_json_with_nested_members(tmp_path: Path) -> None:
    lines = b'{"id": 1, "on": "x", "region": {"name": " W "}, "none": null}\n\nnot json\n[1]\n{"id": 2, "on": "", "region": "E"}\n'
    found = rows(written(tmp_path / "a.ndjson", lines))
    assert found[0].cells == {"id": 1, "on": "x", "region": {"name": " W "}, "region.name": "W"}
    assert [(row.line, row.flaw is None) for row in found] == [(1, True), (3, False), (4, False), (5, True)]


def test_columns_are_checked_before_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(BadMapping, match=r"refers to `region`, which a.csv does not have \(did you mean `Region`\?\)"):
        rows(written(tmp_path / "a.csv", b"id,on,Region\n1,x,W\n"))
    with pytest.raises(BadMapping, match=r"refers to `region`, which no row at the beginning of a\.jsonl has"):
        rows(written(tmp_path / "a.jsonl", b'{"id":1,"on":"x"}\n'))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"id,id,on,region\n", "two columns named id"),
        ("a.csv", b'id,on,region\n1,x,"' + b"y\n" * 600_000, "is no CSV from line 2 on: .*quote that is not closed"),
        ("a.csv.gz", gzip.compress(b"id,on,region\n" * 9_000, mtime=0)[:60], "damaged or cut off"),
        ("a.csv.gz", b"id,on,region\n", "damaged or cut off"),
        ("a.txt", b"", "say `format`"),
    ],
    ids=["empty", "two of a name", "open quote", "cut off", "not zipped", "unknown kind"],
)
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        rows(written(tmp_path / name, content))
    with pytest.raises(Unreadable, match="cannot be read"):
        rows(tmp_path / "nothing.csv")


def refuse_all(path: Path, to: Path, given: str = "{}") -> None:
    source = Source(path, mapping(given))
    refusals = Refusals(to, source)
    for row in source.rows():
        refusals.add(row, [Reason("/time", 'is "no" date')])
    refusals.close()


def test_refused_rows_can_be_read_again_and_refused_again(tmp_path: Path) -> None:
    original = written(tmp_path / "a.csv", b'id,on,region,more\n1,x,"W, and E",\xff\n2,x,K\xf6ln,z\n3,x\n')
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    refuse_all(original, first)
    with first.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        table = list(csv.reader(lines))
    assert table[0] == ["refused_line", "refused_because", "id", "on", "region", "more"]
    assert table[1][:5] == ["2", '/time: is "no" date', "1", "x", "W, and E"]
    assert b"\xff" in first.read_bytes()
    refuse_all(first, second)
    with second.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        again = list(csv.reader(lines))
    assert [row[2:] for row in again[:3]] == [row[2:] for row in table[:3]]


def test_refused_lines_of_json_keep_their_members(tmp_path: Path) -> None:
    original = written(tmp_path / "a.ndjson", b'{"id":1,"on":"x","region":{"n":[1]}}\nnot json\n')
    refuse_all(original, tmp_path / "r.ndjson")
    first, second = (tmp_path / "r.ndjson").read_text().splitlines()
    assert json.loads(first) == {
        "refused_line": 1,
        "refused_because": '/time: is "no" date',
        "id": 1,
        "on": "x",
        "region": {"n": [1]},
    }
    assert second == "not json"
    assert "refused_line" not in rows(tmp_path / "r.ndjson")[0].cells


def test_a_refused_file_is_only_there_when_there_is_something_to_mend(tmp_path: Path) -> None:
    original = written(tmp_path / "a.csv", b"id,on,region\n")
    refuse_all(original, tmp_path / "r.csv")
    assert not (tmp_path / "r.csv").exists()
    with pytest.raises(CannotStart, match="the imported file itself"):
        refuse_all(original, original)
    assert original.read_bytes() == b"id,on,region\n"
