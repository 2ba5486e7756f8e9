"""Rows of a CSV or NDJSON file, one after the other, so that a file of any size needs little memory; `.gz` too.

A line that is no row comes as a Row with its flaw, so that it can be refused alone. What makes the rest of the file
unreadable raises Unreadable.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from schemas import ijson
from services.cli.importing.mapping import Input, Mapping
from services.cli.importing.row import Row
from services.cli.machine import CannotStart

MAX_CELL: Final = 1_048_576
MAX_LINE: Final = 2 * 1_048_576
LOOKED_AT_FIRST: Final = 200
"""Rows of NDJSON in which every column of the mapping should be seen once."""

REFUSED_COLUMNS: Final = ("refused_line", "refused_because")
"""What a file of refused rows has in front of the row's own columns."""

_GONE: Final[tuple[Any, ...]] = (None, [], {})


class Unreadable(CannotStart):
    """The file, or the rest of it, cannot be read as rows."""


class Source:
    """The file being imported: `rows()` once. `bytes_read` of `size` is how far it is, in bytes as stored on disk.

    `header` of a CSV file is known when the first row was read; `form` is `csv` or `ndjson`.
    """

    def __init__(self, path: Path, mapping: Mapping) -> None:
        """Raises Unreadable: no such file, or no telling which format it is."""
        self.path = path
        self._mapping = mapping
        self._given: Input = mapping.input
        self.form = self._given.form or _form_of(path)
        self.delimiter = self._given.delimiter or ("\t" if ".tsv" in path.suffixes else ",")
        self.encoding = self._given.encoding if self.form == "csv" else "utf-8"
        self.headless = bool(self._given.columns)
        self.header: list[str] = []
        self._line = 1
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
        if path.is_dir():
            raise Unreadable(f"{path} is a folder")

    @property
    def bytes_read(self) -> int:
        return self.size if self._raw.closed else self._raw.tell()

    def close(self) -> None:
        self._raw.close()

    def rows(self) -> Iterator[Row]:
        """Every row with its line. Raises Unreadable, and BadMapping where expected columns are not there."""
        content = self._raw if self.path.suffix != ".gz" else cast(BinaryIO, gzip.GzipFile(fileobj=self._raw))
        try:
            yield from self._csv(content) if self.form == "csv" else self._ndjson(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Unreadable(f"{self.path} is damaged or cut off: {error}") from None
        except csv.Error as error:
            raise Unreadable(
                f"{self.path} is no CSV from line {self._line} on: {error} (a quote that is not closed?)"
            ) from None

    def _csv(self, content: BinaryIO) -> Iterator[Row]:
        csv.field_size_limit(MAX_CELL)
        lines = io.TextIOWrapper(content, encoding=self._given.encoding, errors="surrogateescape", newline="")
        reader = csv.reader(lines, delimiter=self.delimiter)
        self.header = list(self._given.columns) or [name.strip() for name in next(reader, [])]
        self._check_header()
        width = len(self.header)
        wanted = set(self.header) - set(REFUSED_COLUMNS) if self._mapping.whole_row else self._mapping.columns
        places = [(place, name) for place, name in enumerate(self.header) if name in wanted]
        empty = self._given.empty
        self._line = reader.line_num + 1  # where the row being read begins: what an error is said with
        for cells in reader:
            line, self._line = self._line, reader.line_num + 1
            if not cells:
                continue
            if len(cells) != width:
                flaw = f"has {len(cells)} cells where the header has {width}"
                yield Row(line, cells, {}, flaw)
                continue
            found = {name: text for place, name in places if (text := cells[place].strip()) not in empty}
            yield Row(line, cells, found, _undecodable(found, self._given.encoding))

    def _check_header(self) -> None:
        if not self.header:
            raise Unreadable(f"{self.path} is empty: it needs a line that names the columns")
        twice = {name for name in self.header if self.header.count(name) > 1 and name in self._mapping.columns}
        if twice:
            raise Unreadable(f"{self.path} has two columns named {', '.join(sorted(twice))}")
        self._mapping.check_columns(set(self.header), f"{self.path.name} does not have")

    def _ndjson(self, content: BinaryIO) -> Iterator[Row]:
        rows = self._objects(content)
        first = list(islice(rows, LOOKED_AT_FIRST))
        if good := [row for row in first if row.flaw is None]:
            self._mapping.check_columns(
                set().union(*(row.cells for row in good)), f"no row at the beginning of {self.path.name} has"
            )
        yield from chain(first, rows)

    def _objects(self, content: BinaryIO) -> Iterator[Row]:
        number = 0
        while raw := content.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                while (rest := content.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield Row(number, raw[:200].decode("utf-8", "surrogateescape"), {}, f"is longer than {MAX_LINE} bytes")
                continue
            raw = raw.strip().removeprefix(b"\xef\xbb\xbf")
            if raw:
                yield self._object(number, raw)

    def _object(self, number: int, raw: bytes) -> Row:
        original = raw.decode("utf-8", "surrogateescape")
        try:
            document = ijson.decode(raw)
        except ijson.Refused as refused:
            return Row(number, original, {}, refused.detail)
        if not isinstance(document, dict):
            return Row(number, original, {}, "is no JSON object")
        return Row(number, original, _flat(document, self._given.empty))


def _form_of(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    form = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}.get(suffixes[-1] if suffixes else "")
    if form is None:
        raise Unreadable(
            f"{path.name} does not end in .csv, .tsv, .ndjson or .jsonl (.gz may follow): say `format` in the mapping's `input`"
        )
    return form


def _undecodable(cells: dict[str, str], encoding: str) -> str | None:
    for name, text in cells.items():
        if not text.isascii() and any("\udc80" <= mark <= "\udcff" for mark in text):
            return f"the column {name} is not {encoding.removesuffix('-sig')}; `encoding` in the mapping's `input` says which it is"
    return None


def _flat(document: dict[str, Any], empty: frozenset[str]) -> dict[str, Any]:
    """Members of nested objects are columns too: `{"deal": {"id": 1}}` has `deal` and `deal.id`."""
    flat: dict[str, Any] = {}
    level = [("", document)]
    while level:
        prefix, members = level.pop()
        for name, value in members.items():
            if type(value) is str:
                value = value.strip()  # noqa: PLW2901  the cell as the mapping reads it
                if value in empty:
                    continue
            if value in _GONE or (not prefix and name in REFUSED_COLUMNS):
                continue
            flat[prefix + name] = value
            if type(value) is dict:
                level.append((f"{prefix}{name}.", value))
    return flat
