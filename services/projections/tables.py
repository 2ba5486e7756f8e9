"""The tables of a read model, from what it declares: one ledger with its profiles, and its cells where it counts by them.

Disposable, so without migrations: a new shape is a new generation. `partition` leads every key, so that the tables
distribute by it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

KINDS: Final[Mapping[str, str]] = {
    "text": 'text COLLATE "C"',
    "instant": "timestamptz",
    "day": "date",
    "integer": "integer",
    "number": "numeric(24, 4)",
}
"""What an attribute of a row may be. In a `Row` an instant is in µs since 1970, a day in days since 1970, a number a
text with four decimals (`number_text`); so all survive MessagePack, and are None where unknown."""


def number_text(number: Decimal | str | float) -> str:
    """The form in which a row has a number. An amount of money has at most twenty digits, four of them decimals."""
    return f"{Decimal(str(number)):.4f}"


class Ledger(NamedTuple):
    """A ledger table `name` with `name_profile` beside it, and `name_cell` where its sums are kept by day (`cells`).

    `labels` are what figures are grouped and filtered by: texts, each combination kept once. `attributes` are (name, kind of
    `KINDS`): what only one row has. `indexes`: column lists beyond the primary key (partition, subject, number).
    """

    name: str
    labels: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...] = ()
    cells: bool = False
    indexes: tuple[str, ...] = ()


def tables_sql(ledgers: Sequence[Ledger]) -> str:
    """The tables of one generation; run with search_path = its own schema."""
    return _RECORDS + "".join(map(_tables, ledgers))


def indexes_sql(ledgers: Sequence[Ledger]) -> str:
    """What the queries need beyond keys: after the tables (live), or after the catch-up (rebuild)."""
    return "".join(
        f"CREATE INDEX {ledger.name}_{number} ON {ledger.name} {columns};\n"
        for ledger in ledgers
        for number, columns in enumerate((*(_EDGES if ledger.cells else ()), *ledger.indexes), 1)
    )


_EDGES = (
    "(business_from)",
    "(business_to) WHERE business_to IS NOT NULL",
    "(recorded_from)",
    # BRIN: a b-tree on the one column that is updated would make every withdrawal write all indexes again (no HOT).
    "USING brin (recorded_to) WITH (pages_per_range = 16, autosummarize = on)",
)
"""To make a sum of cells exact to the instant: the rows that begin, end, appear or go on one day."""

# One row per subject (a lead, or another stream): its version, what the next event in order needs, and every event taken
# as a note for those that come late. Compressing the notes again at every event would cost more than it saves.
_RECORDS = """
CREATE TABLE subject_record (
    partition integer NOT NULL,
    subject   text COLLATE "C" NOT NULL,
    version   integer NOT NULL,
    record    bytea NOT NULL,
    history   bytea NOT NULL,
    CONSTRAINT one_record_per_subject PRIMARY KEY (partition, subject)
) WITH (fillfactor = 70);
ALTER TABLE subject_record ALTER COLUMN history SET STORAGE EXTERNAL;
"""


def _tables(ledger: Ledger) -> str:
    name = ledger.name
    labels = "".join(f",\n    {label} text" for label in ledger.labels)
    attributes = "".join(f",\n    {attribute} {KINDS[kind]}" for attribute, kind in ledger.attributes)
    # A profile's id is the first 63 bits of BLAKE2b over its labels, so it needs no counter. Of a row only recorded_to is
    # ever written again. A cell is a signed delta by the two days that date it, in days since 1970 in the reporting zone;
    # what is known now is the sum over all recorded days: a table of those sums would be about as large again.
    made = f"""
CREATE TABLE {name}_profile (
    partition integer NOT NULL,
    profile   bigint NOT NULL{labels},
    CONSTRAINT {name}_has_one_row_per_profile PRIMARY KEY (partition, profile)
);
CREATE TABLE {name} (
    partition     integer NOT NULL,
    subject       text COLLATE "C" NOT NULL,
    number        integer NOT NULL,
    profile       bigint NOT NULL,
    amount        numeric(24, 4) NOT NULL,
    business_from timestamptz NOT NULL,
    business_to   timestamptz,
    recorded_from timestamptz NOT NULL,
    recorded_to   timestamptz{attributes},
    CONSTRAINT {name}_rows_are_numbered_per_subject PRIMARY KEY (partition, subject, number)
) WITH (fillfactor = 80);
"""
    if ledger.cells:
        made += f"""
CREATE TABLE {name}_cell (
    partition    integer NOT NULL,
    business_day integer NOT NULL,
    recorded_day integer NOT NULL,
    profile      bigint NOT NULL,
    n            bigint NOT NULL,
    amount       numeric(38, 4) NOT NULL,
    CONSTRAINT {name}_has_one_cell_per_profile_and_days PRIMARY KEY (partition, business_day, recorded_day, profile)
) WITH (fillfactor = 80);
"""
    return made
