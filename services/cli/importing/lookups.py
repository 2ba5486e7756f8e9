"""Small tables beside the file: a key found there gives more columns to a row."""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from services.cli.importing.node import BadMapping, Node, did_you_mean
from services.cli.importing.row import CellRefused, Getter, Row, shown, text_of
from services.cli.importing.scope import Scope

MAX_ROWS: Final = 500_000
KEYS: Final = ("file", "key", "match", "unmatched", "repeated", "delimiter", "encoding")


class Lookup:
    """One table: `match` is the value looked for in the column `key`. Its rows are read by `load`."""

    def __init__(self, name: str, node: Node) -> None:
        parts = node.members(KEYS, required=("file", "key", "match"))
        self.name = name
        self.node = node
        self.file = parts["file"].word()
        self.key = parts["key"].word()
        self.match = parts["match"]
        self.repeated = parts["repeated"].word(("refuse", "first", "last")) if "repeated" in parts else "refuse"
        self.refuses = "unmatched" not in parts or parts["unmatched"].word(("refuse", "absent")) == "refuse"
        self.delimiter = parts["delimiter"].word() if "delimiter" in parts else ","
        self.encoding = parts["encoding"].word() if "encoding" in parts else "utf-8-sig"
        path = Path(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise parts["file"].refuse("must lie beside the imported file or below it: a relative path without `..`")
        self._columns: dict[str, Node] = {self.key: parts["key"]}
        self._rows: dict[str, dict[str, str]] = {}
        self._found: Getter | None = None
        self._compiling = False

    def column(self, scope: Scope, compile_value: Callable[[Node, str], Getter]) -> Callable[[str, Node], Getter]:
        """What makes the getter of one of its columns."""

        def getter(column: str, at: Node) -> Getter:
            self._columns.setdefault(column, at)
            found = self._once(scope, compile_value)
            return lambda row: None if (entry := found(row)) is None else entry.get(column)

        return getter

    def load(self, folder: Path, empty: Iterable[str]) -> None:
        """Read the table into memory. Raises BadMapping: no such file or column, a key twice, too many rows."""
        path = folder / self.file
        gone = set(empty)
        try:
            with path.open(encoding=self.encoding, newline="") as lines:
                reader = csv.reader(lines, delimiter=self.delimiter)
                header = [name.strip() for name in next(reader, [])]
                self._check_header(header, path)
                for cells in reader:
                    if cells:
                        self._take(dict(zip(header, map(str.strip, cells), strict=False)), gone, path, reader.line_num)
        except FileNotFoundError:
            near = did_you_mean(self.file, [each.name for each in folder.glob("*.csv")])
            raise self.node.refuse(f"there is no {path}{near}; a lookup lies beside the imported file") from None
        except (OSError, csv.Error, UnicodeDecodeError, LookupError) as error:
            raise self.node.refuse(f"{path} cannot be read: {error}") from None

    def _check_header(self, header: list[str], path: Path) -> None:
        for column, at in self._columns.items():
            if column not in header:
                raise at.refuse(
                    f"refers to `{column}`, which {path.name} does not have{did_you_mean(column, header)}; "
                    f"its columns: {', '.join(header)}"
                )

    def _take(self, entry: dict[str, str], gone: set[str], path: Path, line: int) -> None:
        key = entry.get(self.key, "")
        if key in gone or (key in self._rows and self.repeated == "first"):
            return
        if key in self._rows and self.repeated == "refuse":
            raise self.node.refuse(
                f"{path.name}:{line} has the key {shown(key)} a second time; `repeated: first` or `last` takes one"
            )
        if len(self._rows) >= MAX_ROWS:
            raise BadMapping(f"{path} has more than {MAX_ROWS} rows, too many for a lookup")
        self._rows[key] = {name: entry[name] for name in self._columns if entry.get(name, "") not in gone}

    def _once(self, scope: Scope, compile_value: Callable[[Node, str], Getter]) -> Getter:
        if self._found is None:
            if self._compiling:
                raise self.match.refuse("looks itself up")
            self._compiling = True
            match = compile_value(self.match, self.name)

            def find(row: Row) -> dict[str, str] | None:
                key = match(row)
                if key is None:
                    return None
                entry = self._rows.get(text_of(key))
                if entry is None and self.refuses:
                    raise CellRefused(f"{shown(key)} is not in the column {self.key} of {self.file}")
                return entry

            self._found = scope.memoised(find)
        return self._found
