"""Truth maps: for each figure of a data set's truth, the query that gives it, or why none does.

tests/data/<set>/truth_map.yaml, beside no data: the sets themselves do not ship.

    imports:                    what is imported first; `also` adds names to the `alias` of a named value of the mapping,
                                `put` adds data to its events of a type: so the figures of one set are told from the others
      - {file: sales_pipeline.csv, mapping: crm-opportunities}
    figures:
      - keys: [by_agent::*::won]            a path in truth.json, `*` for a step of it, `**` for all that is left
        query: GET /v1/pipeline             the route
        parameters: {group_by: owner}       of the request; {1} is what the first `*` stands for
        each: contracts                     rows within the rows of the answer, where the figure is about those
        where: {owner: "{1|id}", outcome: won}     the rows that count: this, one of a list, {not: this}, `present`, `absent`
        read: {sum: n}                      how the figure follows: count, sum, distinct, min, max or value (of the one row) of a column
        round: 6                            to how many decimals the truth was rounded
    not_covered:
      - {keys: [conventions], because: it is no figure}

The rows are those of a metric, the leads of /v1/leads, or the events of /v1/log. In a text of `where` a final `*` stands
for any end. `{1|id}` is the id made of a name, `{1|lower}` the lower-case text, `{1|quarter}` the months of 2017Q1, `{1|period}` its name as a
period, `{1|next}` the month after 2023-01. A column may be a list of steps, where one holds a dot; a step `{key}` is the last step of the figure's key.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from services.cli.importing.names import id_of

FOLDER: Final = Path(__file__).parents[1] / "data"
SETS: Final = ("crm_exports", "maven_crm", "mrr_playbook", "nps_bank", "ravenstack")

_PLACE = re.compile(r"\{([1-9])(?:\|(id|lower|quarter|period|next))?\}")

Row = dict[str, Any]
Key = tuple[str, ...]
Ask = Callable[[str, dict[str, str]], Sequence[Row]]
"""(route, parameters) -> the rows of the answer."""


class Import(NamedTuple):
    file: str
    mapping: str
    also: dict[str, dict[str, str]]
    put: dict[str, dict[str, str]]


class Figure(NamedTuple):
    """One entry of `figures` or `not_covered`."""

    keys: list[Key]
    query: str = ""
    parameters: dict[str, str] = {}  # noqa: RUF012  a NamedTuple's default, never changed
    each: str = ""
    where: dict[str, Any] = {}  # noqa: RUF012  the same
    how: str = ""
    column: tuple[str, ...] = ()
    round: int | None = None
    because: str = ""


class Checked(NamedTuple):
    """What came of one figure: `found` is None where no query gives it."""

    key: Key
    wanted: Any
    found: Any
    covered: bool


class TruthMap:
    """The truth map of one set. Raises ValueError for one that is not as described above."""

    def __init__(self, name: str) -> None:
        document = yaml.safe_load((FOLDER / name / "truth_map.yaml").read_text(encoding="utf-8"))
        if set(document) != {"imports", "figures", "not_covered"}:
            raise ValueError(f"{name}: needs imports, figures and not_covered")
        self.name = name
        self.imports = [
            Import(each["file"], each["mapping"], each.get("also", {}), each.get("put", {}))
            for each in document["imports"]
        ]
        self.figures = [_figure(each) for each in document["figures"]]
        self.not_covered = [
            Figure(keys=_keys(each["keys"]), because=str(each["because"])) for each in document["not_covered"]
        ]

    def check(self, truth: dict[str, Any], ask: Ask) -> Iterator[Checked]:
        """Every figure of the truth, once. Raises ValueError where an entry names a figure that is none, or two name one."""
        used: set[Key] = set()
        rows = _Rows(ask)
        for key, wanted in leaves(truth):
            entries = [
                (entry, pattern, given)
                for entry in (*self.figures, *self.not_covered)
                for pattern in entry.keys
                if (given := matched(pattern, key)) is not None
            ]
            if len(entries) != 1:
                raise ValueError(f"{self.name}: {'::'.join(key)} is named by {len(entries)} entries, it should be one")
            ((entry, pattern, given),) = entries
            used.add(pattern)
            if entry.because:
                yield Checked(key, wanted, None, False)
            else:
                found = answer(entry, key, given, rows)
                yield Checked(key, _rounded(wanted, entry), _rounded(found, entry), True)
        for entry in (*self.figures, *self.not_covered):
            for pattern in entry.keys:
                if pattern not in used:
                    raise ValueError(f"{self.name}: no figure is named {'::'.join(pattern)}")


def _figure(given: dict[str, Any]) -> Figure:
    unknown = set(given) - {"keys", "query", "parameters", "each", "where", "read", "round"}
    if unknown:
        raise ValueError(f"{given['keys']}: {', '.join(sorted(unknown))} is not known here")
    ((how, column),) = given["read"].items()
    return Figure(
        keys=_keys(given["keys"]), query=given["query"].removeprefix("GET "), parameters=given.get("parameters", {}),
        each=given.get("each", ""), where=given.get("where", {}), how=how, round=given.get("round"),
        column=tuple(column) if isinstance(column, list) else tuple(column.split(".")),
    )  # fmt: skip


def _keys(given: list[str]) -> list[Key]:
    return [tuple(each.split("::")) for each in given]


def leaves(truth: Any, path: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every figure with its path; a list is one figure."""
    if not isinstance(truth, dict):
        yield path, truth
        return
    for name, part in truth.items():
        yield from leaves(part, (*path, name))


def matched(pattern: Key, key: Key) -> tuple[str, ...] | None:
    """What the `*` of a pattern stand for in a key; None where it does not fit."""
    rest = pattern[-1] == "**"
    if rest:
        pattern = pattern[:-1]
    if len(key) < len(pattern) or (len(key) > len(pattern) and not rest):
        return None
    given: list[str] = []
    for part, step in zip(pattern, key, strict=False):
        found = re.fullmatch("(.+)".join(map(re.escape, part.split("*"))), step)
        if found is None:
            return None
        given += found.groups()
    return tuple(given)


class _Rows:
    """The rows of each entry that pass the tests which are the same for all of its figures, found once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._found: dict[str, list[Row]] = {}
        self._indexes: dict[tuple[str, str], dict[str, list[Row]]] = {}

    def of(self, figure: Figure, given: tuple[str, ...]) -> list[Row]:
        """Those that count for the figure that `given` names."""
        parameters = {name: _filled(text, given)[0] for name, text in figure.parameters.items()}
        same = {name: wanted for name, wanted in figure.where.items() if not _PLACE.search(str(wanted))}
        asked = repr((figure.query, parameters, figure.each, same))
        if asked not in self._found:
            rows = self._ask(figure.query, parameters)
            if figure.each:
                rows = [part for row in rows for part in row.get(figure.each, ())]
            self._found[asked] = _passing(rows, same, given)
        others = {name: wanted for name, wanted in figure.where.items() if name not in same}
        for name, wanted in others.items():
            if _PLACE.fullmatch(str(wanted)) and not str(wanted).endswith("|quarter}"):
                del others[name]
                return _passing(self._by(asked, name).get(_filled(wanted, given)[0], []), others, given)
        return _passing(self._found[asked], others, given)

    def _by(self, asked: str, column: str) -> dict[str, list[Row]]:
        """The rows of an entry by the text of one column."""
        if (asked, column) not in self._indexes:
            index: dict[str, list[Row]] = {}
            for row in self._found[asked]:
                index.setdefault(str(value_at(row, column.split("."))), []).append(row)
            self._indexes[asked, column] = index
        return self._indexes[asked, column]


def _passing(rows: Sequence[Row], where: dict[str, Any], given: tuple[str, ...]) -> list[Row]:
    tests = [(name.split("."), _test(wanted, given)) for name, wanted in where.items()]
    return [row for row in rows if all(test(value_at(row, path)) for path, test in tests)]


def _rounded(value: Any, entry: Figure) -> Any:
    if entry.round is None or value is None:
        return value
    return float(round(Decimal(str(value)), entry.round))


def answer(figure: Figure, key: Key, given: tuple[str, ...], found: _Rows) -> Any:
    """The figure as the answer has it: a Decimal, a text, or None where no row has a value."""
    rows = found.of(figure, given)
    column = [_filled(step.replace("{key}", key[-1]), given)[0] for step in figure.column]
    if figure.how == "count":
        return Decimal(len(rows))
    values = [value for row in rows if (value := value_at(row, column)) is not None]
    if figure.how == "value":
        if len(rows) > 1:
            raise ValueError(f"{figure.keys} for {given}: {len(rows)} rows, it should be one")
        return values[0] if values else None
    if figure.how == "sum":
        return sum((Decimal(str(value)) for value in values), Decimal(0))
    if figure.how == "distinct":
        return Decimal(len(set(values)))
    if figure.how in ("min", "max"):
        numbers = [Decimal(value) for value in values if re.fullmatch(r"[0-9.]+", str(value))]
        return (min if figure.how == "min" else max)(numbers or values, default=None)
    raise ValueError(f"{figure.keys}: nothing is read by `{figure.how}`")


def value_at(row: Any, path: list[str]) -> Any:
    """A member of an object, an item of a list, or None."""
    for step in path:
        if isinstance(row, list):
            row = row[int(step)] if int(step) < len(row) else None
        else:
            row = row.get(step) if isinstance(row, dict) else None
    return row


def _test(wanted: Any, given: tuple[str, ...]) -> Callable[[Any], bool]:
    if wanted in ("present", "absent"):
        return lambda value: (value is not None) is (wanted == "present")
    if isinstance(wanted, dict):
        inner = _test(wanted["not"], given)
        return lambda value: value is not None and not inner(value)
    texts = [text for each in (wanted if isinstance(wanted, list) else [wanted]) for text in _filled(str(each), given)]
    exact = frozenset(text for text in texts if not text.endswith("*"))
    begins = tuple(text[:-1] for text in texts if text.endswith("*"))
    return lambda value: value is not None and (str(value) in exact or str(value).startswith(begins))


def _filled(text: str, given: tuple[str, ...]) -> list[str]:
    """The text with what its places stand for: several where one is a quarter."""
    found = _PLACE.search(text)
    if found is None:
        return [text]
    value = given[int(found[1]) - 1]
    if found[2] == "quarter":
        year, quarter = value.split("Q")
        values = [f"{year}-{month:02}" for month in range(3 * int(quarter) - 2, 3 * int(quarter) + 1)]
    else:
        values = [_SPELLINGS[found[2]](value) if found[2] else value]
    return [each for one in values for each in _filled(text[: found.start()] + one + text[found.end() :], given)]


_SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "id": id_of,
    "lower": str.lower,
    "period": lambda text: text.replace("Q", "-Q"),
    "next": lambda month: f"{int(month[:4]) + int(month[5:]) // 12}-{int(month[5:]) % 12 + 1:02}",
}


def equal(found: Any, wanted: Any) -> bool:
    """Numbers as numbers, nothing rounded; instants as such, those of a truth are UTC and have a blank for the T."""
    if wanted is None or found is None:
        return wanted is found
    if isinstance(wanted, int | float):
        return Decimal(str(found)) == Decimal(str(wanted))
    return str(found).replace("T", " ").removesuffix("Z").removesuffix(".000000") == str(wanted)
