"""A read model kept in PostgreSQL: ledger rows, cells and lead records, written in sets inside the caller's transaction.

One instance serves one generation of one read model; all it needs to know of it is a `Fold` and its ledgers.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

import msgspec

from schemas.envelope import Recorded
from services.kernel.array_text import numbers, optional_texts, texts
from services.kernel.errors import Poison, Unavailable
from services.kernel.postgres import Connection
from services.projections.batch import BatchWrites, LedgerWrites, Profiles
from services.projections.copy_rows import COLUMNS, HEADER, TRAILER, RowPacker
from services.projections.days import EPOCH, Days, micros
from services.projections.ledger import (
    Fold,
    LeadChanges,
    LeadRecord,
    Reading,
    Row,
    Standing,
    rises,
    take_in,
)
from services.projections.tables import Ledger, indexes_sql, number_text, tables_sql

_PIECE_BYTES = 1 << 18

ZONE = "reporting_zone"
"""Under this name a generation keeps the zone that its cells are cut in, for the queries."""


def digest_of(text: str) -> str:
    """Short enough to be told to an operator."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


class LedgerReadModel:
    """Implements the kernel's read model interface on top of a `Fold`.

    The cache runs ahead of the store when the caller's transaction is undone after `apply`: call `forget` then. A record
    that another process wrote meanwhile is noticed by its version and read again.
    """

    def __init__(
        self,
        name: str,
        fold: Fold[Any],
        ledgers: Sequence[Ledger],
        *,
        zone: str,
        depends_on: Mapping[str, str],
        stream_types: tuple[str, ...] = ("lead",),
        leads_kept: int = 50_000,
    ) -> None:
        """`zone` cuts the days of the cells; `depends_on`: what else makes the rows what they are, by name.

        The subject of a row is the stream's id where only streams of one type are read, else the stream's whole name.

        Raises `zoneinfo.ZoneInfoNotFoundError` for an impossible zone.
        """
        self.name = name
        self.tables_sql = tables_sql(ledgers)
        self.made_with = {"tables": digest_of(self.tables_sql), ZONE: zone, **depends_on}
        self.indexes_sql = indexes_sql(ledgers)
        self._fold = fold
        self._ledgers = tuple(ledgers)
        self._statements = tuple(_Statements(ledger) for ledger in ledgers)
        self._days = Days.of_zone(zone)
        self._prefixes = tuple(f"{stream_type}/" for stream_type in stream_types)
        self._cut = len(self._prefixes[0]) if len(self._prefixes) == 1 else 0
        self._leads_kept = leads_kept
        self._records: OrderedDict[str, LeadRecord[Any]] = OrderedDict()
        self._forgotten = 0
        self._profiles = Profiles()
        self._stored_profiles: set[tuple[int, int, int]] = set()
        self._packer = RowPacker()
        self._analysed = False
        record_type = LeadRecord[fold.state_type]  # type: ignore[name-defined]  # only the fold knows it
        self._decode = msgspec.msgpack.Decoder(record_type).decode

    def forget(self) -> None:
        """Drop everything remembered of the store."""
        self._records.clear()
        self._stored_profiles.clear()
        self._forgotten += 1

    async def apply(self, connection: Connection, partition: int, events: Sequence[Recorded]) -> None:
        """Take in events of one partition, ascending and each once, inside the caller's transaction.

        Several partitions may be applied at the same time, each on its own connection.

        Raises:
            Poison: an event cannot be read, or versions of its lead are missing; `extra` has its position and stream.
            Unavailable: another process wrote these leads; roll back and try again.
        """
        # The tables may have been empty when the planner last looked: a join must stay a probe of the key all the same.
        await connection.execute(_ONLY_PROBES)
        forgotten = self._forgotten
        arriving = self._by_lead(events)
        records = await self._take_records(connection, partition, arriving)
        writes = BatchWrites(partition, self._ledgers, self._days, self._profiles, self._packer)
        late: dict[str, list[tuple[Reading, int]]] = {}
        fold = self._fold
        read = fold.read
        recorded_before, recorded_at = EPOCH, 0  # events appended together share the instant
        for lead, group in arriving.items():
            record = records[lead]
            _check_versions(record.version, group, dense=not fold.ignores)
            readings: list[tuple[Reading, int]] = []
            for event in group:
                if event.recorded_at != recorded_before:
                    recorded_before, recorded_at = event.recorded_at, micros(event.recorded_at)
                readings.append((read(event), recorded_at))
            if not record.corrected and rises(record.last, readings):
                changes = LeadChanges(record)
                changes.in_order(fold, readings)
                writes.take(lead, changes)
            else:
                late[lead] = readings
        if late:
            await self._take_in_late(connection, partition, records, late, writes)
        await self._write(connection, partition, writes)
        if not self._analysed:
            await self._analyse(connection)
        if forgotten == self._forgotten:
            self._records.update(records)
            while len(self._records) > self._leads_kept:
                self._records.popitem(last=False)

    async def _analyse(self, connection: Connection) -> None:
        """Tell the planner once how the keys are spread; until autovacuum comes by it would take a partition for few rows."""
        for table in ("subject_record", *(ledger.name for ledger in self._ledgers)):
            if await connection.fetchval("SELECT reltuples < 0 FROM pg_class WHERE oid = $1::text::regclass", table):
                await connection.execute(f"ANALYZE {table}")
        self._analysed = True

    def _by_lead(self, events: Sequence[Recorded]) -> dict[str, list[Recorded]]:
        prefixes, cut, ignores = self._prefixes, self._cut, self._fold.ignores
        groups: dict[str, list[Recorded]] = {}
        for event in events:
            stream = event.stream
            if event.type not in ignores and stream.startswith(prefixes):
                lead = stream[cut:]
                group = groups.get(lead)
                if group is None:
                    groups[lead] = [event]
                else:
                    group.append(event)
        return groups

    async def _take_records(
        self, connection: Connection, partition: int, arriving: dict[str, list[Recorded]]
    ) -> dict[str, LeadRecord[Any]]:
        """The records of all these leads. They leave the cache until the batch is written, so a failure drops them."""
        records: dict[str, LeadRecord[Any]] = {}
        missing = []
        for lead, group in arriving.items():
            record = self._records.pop(lead, None)
            if record is None or (record.version + 1 != group[0].version and not self._fold.ignores):
                missing.append(lead)
                record = LeadRecord(0, None, 1, [], self._fold.start())
            records[lead] = record
        if missing:
            for lead, saved in await connection.fetch(_RECORDS, partition, missing):
                records[lead] = self._decode(saved)
        return records

    async def _take_in_late(
        self,
        connection: Connection,
        partition: int,
        records: dict[str, LeadRecord[Any]],
        late: dict[str, list[tuple[Reading, int]]],
        writes: BatchWrites,
    ) -> None:
        leads = list(late)
        histories: dict[str, bytes] = {row[0]: row[1] for row in await connection.fetch(_HISTORIES, partition, leads)}
        known: dict[str, list[Standing]] = {lead: [] for lead in leads}
        for ledger, statements in enumerate(self._statements):
            width = 6 + len(self._ledgers[ledger].labels)
            kinds = [kind for _, kind in self._ledgers[ledger].attributes]
            for found in await connection.fetch(statements.standing, partition, leads):
                lead, number, amount, starts, ends, recorded_from = found[:6]
                attributes = tuple(map(_as_folded, kinds, found[width:]))
                row = Row(ledger, tuple(found[6:width]), amount, micros(starts), ends and micros(ends), attributes)
                known[lead].append(Standing(number, row, micros(recorded_from)))
        for lead, arriving in late.items():
            changes = LeadChanges(records[lead])
            history = self._fold.recall(histories.get(lead, b""), records[lead].taken)
            take_in(changes, self._fold, arriving, history, known[lead])
            writes.take(lead, changes)

    async def _write(self, connection: Connection, partition: int, writes: BatchWrites) -> None:
        for ledger, (statements, written) in enumerate(zip(self._statements, writes.ledgers, strict=True)):
            await self._write_ledger(connection, partition, ledger, statements, written)
        new = [
            (partition, lead, version, record, notes) for lead, was, version, record, notes in writes.leads if not was
        ]
        if new:
            await connection.copy_records_to_table(
                "subject_record", records=new, columns=["partition", "subject", "version", "record", "history"]
            )
        moved = [lead for lead in writes.leads if lead[1]]
        if moved:
            leads, befores, versions, records, notes = zip(*moved, strict=True)
            done = await connection.execute(
                _MOVE_LEADS,
                partition,
                texts(leads),
                numbers(befores),
                numbers(versions),
                *_packed(records),
                *_packed(notes),
            )
            if done != f"UPDATE {len(moved)}":
                raise Unavailable("these leads were written by another process; read again")

    async def _write_ledger(
        self,
        connection: Connection,
        partition: int,
        ledger: int,
        statements: "_Statements",
        writes: LedgerWrites,
    ) -> None:
        if writes.tuples:
            await connection.copy_to_table(
                self._ledgers[ledger].name, source=_pieces(writes.tuples), columns=statements.columns, format="binary"
            )
        if writes.ended:
            leads, rows, ends = zip(*writes.ended, strict=True)
            await connection.execute(statements.end, partition, texts(leads), numbers(rows), numbers(ends))
        if writes.erased:
            leads, rows = zip(*writes.erased, strict=True)
            await connection.execute(statements.erase, partition, texts(leads), numbers(rows))
        unknown = [profile for profile in writes.labels if (ledger, partition, profile) not in self._stored_profiles]
        if unknown:
            columns = [
                optional_texts(column) for column in zip(*(writes.labels[profile] for profile in unknown), strict=True)
            ]
            await connection.execute(statements.add_profiles, partition, numbers(unknown), *columns)
            if len(self._stored_profiles) > 200_000:
                self._stored_profiles.clear()
            self._stored_profiles.update((ledger, partition, profile) for profile in unknown)
        cells = [
            (day, known, profile, n, amount)
            for (profile, day, known), (n, amount) in writes.cells.items()
            if n or amount
        ]
        if cells:
            cells.sort()
            await connection.execute(statements.add_cells, partition, *map(numbers, zip(*cells, strict=True)))

    async def checksum(self, connection: Connection, partition: int) -> bytes:
        """Digest of all rows of the partition, whatever their order; cells that came back to nothing are no rows."""
        tables = [("subject_record", "true")]
        for ledger in self._ledgers:
            tables += [(ledger.name, "true"), (f"{ledger.name}_profile", "true")]
            if ledger.cells:
                tables.append((f"{ledger.name}_cell", "n <> 0 OR amount <> 0"))
        digest = blake2b(digest_size=16)
        for table, condition in tables:
            found = await connection.fetchrow(
                f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {table} AS t "
                f"WHERE partition = $1 AND ({condition})",
                partition,
            )
            assert found is not None
            digest.update(f"{table} {found[0]} {found[1]}\n".encode())
        return digest.digest()


_ONLY_PROBES = "; ".join(
    f"SET LOCAL enable_{plan} = off" for plan in ("hashjoin", "mergejoin", "seqscan", "bitmapscan", "material")
)


# OFFSET 0 below keeps the planner from seeing that all keys lie in one partition: where the statistics know no rows of
# it, reading the partition whole, once for each key, would look cheaper than a probe. That cost ten times the rest.


def _array(parameter: int, of: str) -> str:
    """An array given as a literal (see `array_text`)."""
    return f"CAST(CAST(${parameter} AS text) AS {of}[])"


_RECORDS = "SELECT subject, record FROM subject_record WHERE partition = $1 AND subject = ANY($2::text[])"
_HISTORIES = "SELECT subject, history FROM subject_record WHERE partition = $1 AND subject = ANY($2::text[])"
_MOVE_LEADS = f"""
UPDATE subject_record AS kept
SET version = moved.version,
    record = substring(CAST($5 AS bytea) FROM moved.record_at FOR moved.record_size),
    history = kept.history || substring(CAST($8 AS bytea) FROM moved.notes_at FOR moved.notes_size)
FROM (SELECT $1::integer AS partition, *
      FROM unnest({_array(2, "text")}, {_array(3, "integer")}, {_array(4, "integer")}, {_array(6, "integer")},
                  {_array(7, "integer")}, {_array(9, "integer")}, {_array(10, "integer")})
           AS given (subject, was, version, record_at, record_size, notes_at, notes_size) OFFSET 0) AS moved
WHERE kept.partition = moved.partition AND kept.subject = moved.subject AND kept.version = moved.was
"""


class _Statements:
    """The SQL of one ledger. Names come from the read model's own declaration; every value is bound."""

    def __init__(self, ledger: Ledger) -> None:
        name = ledger.name
        columns = ", ".join(("partition", "profile", *ledger.labels))  # a ledger may have no label at all
        attributes = [attribute for attribute, _ in ledger.attributes]
        self.columns = [*COLUMNS, *attributes]
        of_rows = ", ".join((
            *(f"l.{column}" for column in _ROW_COLUMNS), *(f"p.{label}" for label in ledger.labels),
            *(f"l.{attribute}" for attribute in attributes),
        ))  # fmt: skip
        texts = (_array(number, "text") for number in range(3, 3 + len(ledger.labels)))
        arrays = ", ".join((_array(2, "bigint"), *texts))
        self.end = f"""
            UPDATE {name} AS kept SET recorded_to = timestamptz 'epoch' + gone.at * interval '1 microsecond'
            FROM (SELECT $1::integer AS partition, * FROM unnest({_array(2, "text")}, {_array(3, "integer")},
                         {_array(4, "bigint")}) AS given (subject, number, at) OFFSET 0) AS gone
            WHERE kept.partition = gone.partition AND kept.subject = gone.subject AND kept.number = gone.number"""
        self.erase = f"""
            DELETE FROM {name} AS kept
            USING (SELECT $1::integer AS partition, * FROM unnest({_array(2, "text")}, {_array(3, "integer")})
                   AS given (subject, number) OFFSET 0) AS gone
            WHERE kept.partition = gone.partition AND kept.subject = gone.subject AND kept.number = gone.number"""
        self.standing = f"""
            SELECT {of_rows}
            FROM {name} AS l JOIN {name}_profile AS p USING (partition, profile)
            WHERE l.partition = $1 AND l.subject = ANY($2::text[]) AND l.recorded_to IS NULL"""
        self.add_profiles = f"""
            INSERT INTO {name}_profile ({columns})
            SELECT $1, * FROM unnest({arrays})
            ON CONFLICT (partition, profile) DO NOTHING"""
        self.add_cells = f"""
            INSERT INTO {name}_cell AS cell (partition, business_day, recorded_day, profile, n, amount)
            SELECT $1, d.business_day, d.recorded_day, d.profile, d.n, d.amount
            FROM unnest({_array(2, "integer")}, {_array(3, "integer")}, {_array(4, "bigint")}, {_array(5, "bigint")},
                        {_array(6, "numeric")}) AS d (business_day, recorded_day, profile, n, amount)
            ON CONFLICT (partition, business_day, recorded_day, profile)
            DO UPDATE SET n = cell.n + EXCLUDED.n, amount = cell.amount + EXCLUDED.amount"""


_ROW_COLUMNS = ("subject", "number", "amount", "business_from", "business_to", "recorded_from")
_EPOCH_DATE = EPOCH.date()


def _as_folded(kind: str, value: Any) -> str | int | None:
    """An attribute read from its column, in the form that a `Row` has it in."""
    if value is None or kind in ("text", "integer"):
        return cast("str | int | None", value)
    if kind == "instant":
        return micros(value)
    return (value - _EPOCH_DATE).days if kind == "day" else number_text(value)


def _packed(parts: Sequence[bytes]) -> tuple[bytes, str, str]:
    """All parts as one value, and where each begins (from 1) and how long it is, as array literals."""
    starts = []
    at = 1
    for part in parts:
        starts.append(at)
        at += len(part)
    return b"".join(parts), numbers(starts), numbers(map(len, parts))


async def _pieces(tuples: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The COPY stream, in pieces that are worth a write."""
    piece = bytearray(HEADER)
    for tuple_ in tuples:
        piece += tuple_
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    piece += TRAILER
    yield bytes(piece)


def _check_versions(version: int, group: Sequence[Recorded], *, dense: bool) -> None:
    """Raises Poison where the events of a subject do not follow `version`: without a hole, if `dense`."""
    for event in group:
        version += 1
        if event.version != version and (dense or event.version < version):
            raise Poison(
                f"version {event.version} of its lead came where {version} is next",
                position=event.position, stream=event.stream,
            )  # fmt: skip
        version = event.version
