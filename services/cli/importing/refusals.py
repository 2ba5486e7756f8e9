"""Rows that were refused: listed with their reasons, and written out so that they can be mended and imported again."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from services.cli.importing.reading import REFUSED_COLUMNS, Source
from services.cli.importing.row import Reason, Row
from services.cli.machine import CannotStart

LISTED: Final = 20


class Refusals:
    """`first` holds the first refusals as text; the file, where one is asked for, holds all of them.

    A refused file is written in the format of the input, with two columns in front: the line and the reasons. Importing
    it again ignores them. A line that is no row at all stands in it as it was.
    """

    def __init__(self, path: Path | None, source: Source) -> None:
        """Raises CannotStart: the path cannot be written, or is the imported file itself."""
        self.count = 0
        self.first: list[str] = []
        self._path = path
        self._source = source
        self._file: TextIO | None = None
        self._header_written = False
        if path is None:
            return
        if path.resolve() == source.path.resolve():
            raise CannotStart(f"--refused names the imported file itself, {path}: name another one")
        try:
            self._file = _opened(path, source)
        except OSError as error:
            raise CannotStart(f"{path} cannot be written: {error.strerror}") from None

    def add(self, row: Row, reasons: list[Reason]) -> None:
        """One row is refused, for all of `reasons`."""
        self.count += 1
        said = "; ".join(f"{reason.pointer}: {reason.detail}" for reason in reasons)
        if len(self.first) < LISTED:
            self.first.append(f"line {row.line}: {said}")
        if self._file is not None:
            self._file.write(self._text_of(row, said))

    def close(self) -> None:
        """A file without rows is deleted: one that lies there means there is something to mend."""
        if self._file is None or self._path is None:
            return
        self._file.close()
        self._file = None
        if not self.count:
            self._path.unlink()

    def _text_of(self, row: Row, said: str) -> str:
        if isinstance(row.original, str):
            return _json_line(row, said)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._source.delimiter, lineterminator="\n")
        header = self._source.header
        if self._source.headless:
            writer.writerow(row.original)
            return text.getvalue()
        own = [place for place, name in enumerate(header) if name not in REFUSED_COLUMNS]
        if not self._header_written:
            writer.writerow([*REFUSED_COLUMNS, *(header[place] for place in own)])
            self._header_written = True
        whole = len(row.original) == len(header)
        cells = [row.original[place] for place in own] if whole else row.original
        writer.writerow([str(row.line), said, *cells])
        return text.getvalue()


def _opened(path: Path, source: Source) -> TextIO:
    encoding = source.encoding.removesuffix("-sig")
    if path.suffix == ".gz":
        return gzip.open(path, "wt", encoding=encoding, errors="surrogateescape", newline="")
    return path.open("w", encoding=encoding, errors="surrogateescape", newline="")


def _json_line(row: Row, said: str) -> str:
    text = str(row.original)
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return f"{text}\n"
    if not isinstance(document, dict):
        return f"{text}\n"
    own = {name: value for name, value in document.items() if name not in REFUSED_COLUMNS}
    return msgspec.json.encode({"refused_line": row.line, "refused_because": said, **own}).decode() + "\n"
