"""What one batch would append: every request decided in order, in memory, later ones seeing the outcome of earlier ones.

Pure but for the records and receipts it is given; nothing is stored before `services.kernel.committer` sends the rows.
"""

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from schemas.envelope import Event, Recorded
from services.kernel.array_text import byte_strings, numbers, optional_texts, texts
from services.kernel.decider import Around, Decider, Deciders, decider_of
from services.kernel.errors import Flaw, IdempotencyMismatch, IllegalTransition, SalescycleError, VersionConflict
from services.kernel.partition import partition_of
from services.kernel.stream_state import StreamRecord, Working, encode_state
from services.kernel.submission import Appended, Receipt, Submission

_encode = msgspec.json.Encoder(order="sorted").encode


MOST_DERIVED = 20_000
"""How many events may follow from one."""


class _Row(msgspec.Struct, eq=False):
    event: Event
    version: int
    partition: int
    verdict_implied: tuple[str, ...]
    anomaly: str | None
    stamp: dict[str, str]
    slot: int = 0
    offset: int = 0


class Draft:
    """One batch on its way to the store. `answers` and `rows` are complete once `decide` has seen every submission."""

    def __init__(
        self, deciders: Deciders, partitions: int, records: Mapping[str, StreamRecord],
        receipts: Mapping[tuple[str, str], Receipt], histories: Mapping[str, Iterable[Recorded]],
        *, owned: Container[int], loaded: Container[str] | None = None,
        found: Mapping[tuple[str, ...], Sequence[str]] | None = None, fresh: Container[str] = (),
        asked: Container[tuple[str, str]] = (),
    ) -> None:  # fmt: skip
        """`owned`: the partitions of this placement; `loaded`: streams of which all is known that the store knows, None: all.

        `found`: the streams that have all labels of a search; `fresh`: those that the store was asked for just now; `asked`:
        (source, id) of derived events whose receipts were asked for.
        """
        self._fresh_streams = fresh
        self._deciders = deciders
        self._partitions = partitions
        self._records = records
        self._receipts = receipts
        self._histories = histories
        self._owned = owned
        self._loaded = loaded
        self._found = found or {}
        self._working: dict[str, Working] = {}
        self._fresh: dict[tuple[str, str], _Row] = {}
        self.rows: list[_Row] = []
        self._accepted: list[tuple[Submission, list[_Row | Appended]]] = []
        self._refused: list[tuple[Submission, SalescycleError]] = []
        self.unread: set[str] = set()
        """Streams with a late event whose history was not given: decide again with it, this draft is of no use."""
        self.doubted: set[str] = set()
        """Streams whose state was the reason of a refusal: it must be the store's word, not an old memory."""
        self.missing: set[str] = set()
        """Streams that something is derived on, and that were not loaded: decide again with them."""
        self.unsearched: set[tuple[str, ...]] = set()
        """Labels by which streams must be searched before it is known what follows."""
        self.derived: list[Event] = []
        """What follows from the events of the batch: it may be stored already, so its receipts must be asked for."""
        self._asked = asked
        self._short: set[str] = set()
        """Streams of submissions that something was missing for, and what they touched: this draft is of no use for them."""
        self._touched: list[tuple[Submission, set[str]]] = []
        """What each submission wrote, and read to derive from."""
        self._read_now: set[str] = set()
        self._lacks_now = False
        """Of the submission that is being decided: what it read, and whether something that it takes is missing."""

    def decide(self, submission: Submission) -> None:
        """Accept the submission into the batch, or refuse it; either is delivered once the batch is committed."""
        saved: dict[str, Any] = {}
        rows: list[_Row] = []
        number = 0
        derived_before = len(self.derived)
        self._read_now, self._lacks_now = set(), False
        outcome: list[_Row | Appended] = []
        try:
            for event in submission.events:
                known = self._known(event)
                if known is not None:
                    outcome.append(known)
                    number += 1
                    continue
                working = self._stream(event.stream)
                if event.stream not in saved:
                    saved[event.stream] = working.snapshot()
                row, following = self._judge(working, event, submission.strict)
                rows.append(row)
                outcome.append(row)
                self._fresh[event.source, event.id] = row
                self._follow(following, rows, saved)
                number += 1
        except SalescycleError as refusal:
            for row in rows:
                del self._fresh[row.event.source, row.event.id]
            for stream, state in saved.items():
                self._working[stream].restore(state)
            if submission.size > 1:
                self._say_which(refusal, submission.events[number], number)
            self._refused.append((submission, refusal))
            self.doubted.update(event.stream for event in submission.events if event.stream not in self._fresh_streams)
            self._lacks_now |= isinstance(refusal, IdempotencyMismatch) or not self._rests_on_the_store(submission)
            self._note(submission, saved, derived_before)
            return
        self.rows += rows
        self._accepted.append((submission, outcome))
        self._note(submission, saved, derived_before)

    def _rests_on_the_store(self, submission: Submission) -> bool:
        return all(event.stream in self._fresh_streams for event in submission.events)

    def _note(self, submission: Submission, saved: dict[str, Any], derived_before: int) -> None:
        """Keep what the submission wrote and read, and whether it can stand as it was decided here."""
        touched = {*saved, *self._read_now, *(event.stream for event in submission.events)}
        self._touched.append((submission, touched))
        unasked = any((event.source, event.id) not in self._asked for event in self.derived[derived_before:])
        if unasked or self._lacks_now:
            self._short |= touched

    @property
    def falls_short(self) -> bool:
        """Whether some submission cannot be stored as it was decided here."""
        return bool(self._short)

    def split(self) -> tuple[list[Submission], list[Submission]]:
        """(those that are decided for good, those to decide again), by streams: no stream has submissions in both."""
        short = self._short | self.unread | self.missing
        while True:
            again = [(submission, touched) for submission, touched in self._touched if touched & short]
            reach = short.union(*(touched for _, touched in again))
            if reach == short:
                break
            short = reach
        ids = {id(submission) for submission, _ in again}
        return [each for each, _ in self._touched if id(each) not in ids], [submission for submission, _ in again]

    def keep_only(self, submissions: list[Submission]) -> None:
        """Drop everything that belongs to others; `submissions` is what `split` gave first."""
        ids = {id(each) for each in submissions}
        streams = set().union(*(touched for each, touched in self._touched if id(each) in ids))
        self.rows = [row for row in self.rows if row.event.stream in streams]
        self._working = {name: working for name, working in self._working.items() if name in streams}
        self._accepted = [pair for pair in self._accepted if id(pair[0]) in ids]
        self._refused = [pair for pair in self._refused if id(pair[0]) in ids]

    def _say_which(self, refusal: SalescycleError, event: Event, number: int) -> None:
        """Events that are stored together: name the one at fault, and count nothing that is not stored after all."""
        refusal.detail = f"item {number}: {refusal.detail}"
        refusal.errors = refusal.errors or (Flaw(f"/{number}", refusal.detail),)
        if isinstance(refusal, VersionConflict):
            version = self._stream(event.stream).version
            refusal.detail = (
                f"item {number}: the stream is at version {version}, version {event.expected_version} was expected"
            )
            refusal.errors = (Flaw(f"/{number}/expectedversion", refusal.detail),)
            refusal.extra["current_version"] = version

    def _known(self, event: Event) -> "_Row | Appended | None":
        """The first answer to an event that is stored, or that stands earlier in this batch."""
        key = event.source, event.id
        twin = self._fresh.get(key)
        if twin is not None:
            if twin.event.digest != event.digest:
                raise IdempotencyMismatch("an earlier event of this batch has this source and id, and other content")
            return twin
        receipt = self._receipts.get(key)
        if receipt is None:
            return None
        if receipt.digest != event.digest:
            raise IdempotencyMismatch("an event with this source and id is stored with other content")
        return receipt.answer

    def _stream(self, stream: str) -> Working:
        working = self._working.get(stream)
        if working is None:
            decider = decider_of(self._deciders, stream)
            record = self._records.get(stream) or StreamRecord(0, (-(2**62), 0, "", 0), decider.unknown)
            history: list[tuple[Event | Recorded, Any]] | None = None
            if stream in self._histories:
                history = [(event, decider.fact(event, event.version)) for event in self._histories[stream]]
            working = self._working[stream] = Working(record, partition_of(stream, self._partitions), history)
        return working

    def _follow(self, first: Sequence[Event], rows: list[_Row], saved: dict[str, Any]) -> None:
        """Append what was derived, and what is derived from it in turn; what is stored already stays as it is.

        Raises SalescycleError where it does not end: nothing of the cause is stored then.
        """
        waiting = deque(first)
        for _ in range(MOST_DERIVED):
            if not waiting:
                return
            event = waiting.popleft()
            if partition_of(event.stream, self._partitions) not in self._owned:
                continue  # another placement: a reader of the log derives it there
            self.derived.append(event)
            if self._loaded is not None and event.stream not in self._loaded:
                self.missing.add(event.stream)
                self._lacks_now = True
            try:
                if self._known(event) is not None:
                    continue
            except IdempotencyMismatch:
                continue  # derived before, from what was known then: its cause is not at fault
            working = self._stream(event.stream)
            if event.stream not in saved:
                saved[event.stream] = working.snapshot()
            row, following = self._judge(working, event, strict=False, posted=False)
            rows.append(row)
            self._fresh[event.source, event.id] = row
            waiting.extend(following)
        raise SalescycleError("more follows from this event than can be stored with it")

    def _judge(self, working: Working, event: Event, strict: bool, posted: bool = True) -> tuple[_Row, list[Event]]:
        """Decide one event on its stream: its row, and the events that follow from it.

        Raises a refusal and leaves the stream as it was, or moves it on. What was derived is not `posted`: it is a fact.
        """
        if event.expected_version is not None and event.expected_version != working.version:
            raise VersionConflict(
                f"the stream is at version {working.version}, version {event.expected_version} was expected",
                current_version=working.version,
            )
        decider = decider_of(self._deciders, event.stream)
        version = working.version + 1
        fact = decider.fact(event, version)
        before = working.state
        if posted:
            decider.refuse(before, event, fact)
        history = working.history
        if fact.key < working.key or decider.refolds(before, fact):
            if history is None:
                self.unread.add(event.stream)
                self._lacks_now = True
                state = decider.evolve(before, fact)
            else:
                facts = [each for _, each in history]
                decider.check_history(event, fact, facts)
                state = decider.fold((*facts, fact))
        else:
            state = decider.evolve(before, fact)
        implied, anomaly = decider.verdict(before, state, fact)
        if strict and (implied or anomaly):
            raise IllegalTransition(
                f"{event.type} is not a normal step from here: {anomaly or 'it implies ' + ', '.join(implied)}",
                state=decider.summary(before),
                normal_next=decider.normal_next(before),
            )
        following = self._following(decider, event, fact, before, state, history)
        if history is not None:
            history.append((event, fact))
        working.version = version
        working.key = max(working.key, fact.key)
        working.state = state
        return _Row(event, version, working.partition, implied, anomaly, decider.stamp(before, state, fact)), following

    def _following(
        self, decider: Decider, event: Event, fact: Any, before: Any, state: Any, history: list[Any] | None
    ) -> list[Event]:
        """What follows from the event; nothing while a history that it takes is missing, since the draft is of no use then."""
        around = Around({} if history is None else {event.stream: history}, ())
        labels = decider.searches(event, fact, around)
        if labels is not None:
            if labels not in self._found:
                self.unsearched.add(labels)
                self._lacks_now = True
                return []
            around = around._replace(found=self._found[labels])
        histories = dict(around.histories)
        whole = event.stream not in self.unread
        for stream in decider.reads(event, fact, before, around):
            if partition_of(stream, self._partitions) not in self._owned:
                continue
            self._read_now.add(stream)
            if self._loaded is not None and stream not in self._loaded:
                self.missing.add(stream)
                whole = False
            if stream not in self._histories:
                self.unread.add(stream)
                whole = False
            else:
                histories[stream] = self._stream(stream).history or []
        if not whole:
            self._lacks_now = True
            return []
        return decider.derive(event, fact, before, state, around._replace(histories=histories))

    def arguments(self) -> list[str]:
        """The arguments of `append.sql` as array literals, every group in the order its header asks for. Needs a row."""
        rows = self.rows
        names = sorted(name for name, working in self._working.items() if working.version > working.base)
        streams = [self._working[name] for name in names]
        states = [
            encode_state(each.key, decider_of(self._deciders, name).encode(each.state))
            for name, each in zip(names, streams, strict=True)
        ]
        labels = [
            "\x1f".join(decider_of(self._deciders, name).labels(each.state))
            for name, each in zip(names, streams, strict=True)
        ]
        counts: dict[int, int] = {}
        for row in rows:
            counts[row.partition] = row.offset = counts.get(row.partition, 0) + 1
        partitions = sorted(counts)
        slots = {partition: slot for slot, partition in enumerate(partitions, 1)}
        for row in rows:
            row.slot = slots[row.partition]
        events = [row.event for row in rows]
        return [
            texts(names), numbers([each.partition for each in streams]), numbers([each.base for each in streams]),
            numbers([each.version for each in streams]), texts(states), texts(labels),
            numbers(partitions), numbers([counts[partition] for partition in partitions]),
            numbers([row.slot for row in rows]), numbers([row.offset for row in rows]),
            texts([event.stream for event in events]), numbers([row.version for row in rows]),
            texts([event.type for event in events]), texts([event.source for event in events]),
            texts([event.id for event in events]), texts([str(event.occurred_at) for event in events]),
            texts([event.data.decode() for event in events]), optional_texts([_meta(row) for row in rows]),
            byte_strings([event.digest for event in events]),
            optional_texts([",".join(row.verdict_implied) or None for row in rows]),
        ]  # fmt: skip

    def records(self) -> dict[str, StreamRecord]:
        """The streams as they stand once the batch is committed."""
        return {
            name: StreamRecord(working.version, working.key, working.state)
            for name, working in self._working.items()
            if working.version > working.base
        }

    def deliver(self, recorded_at: datetime | None, bases: list[int]) -> dict[int, int]:
        """Answer every submission; returns the new head of each partition of the batch."""
        heads: dict[int, int] = {}
        answers: dict[int, Appended] = {}
        for row in self.rows:
            assert recorded_at is not None
            position = bases[row.slot - 1] + row.offset
            heads[row.partition] = max(position, heads.get(row.partition, 0))
            event = row.event
            answers[id(row)] = Appended(
                event.source, event.id, event.stream, row.version, row.partition, position, recorded_at,
                row.verdict_implied, row.anomaly,
            )  # fmt: skip
        for submission, refusal in self._refused:
            submission.deliver(refusal)
        first: set[int] = set()
        for submission, outcome in self._accepted:
            told = []
            for each in outcome:
                if isinstance(each, Appended):
                    told.append(each)
                    continue
                answer = answers[id(each)]
                if id(each) in first:
                    answer = msgspec.structs.replace(answer, repeated=True)
                first.add(id(each))
                told.append(answer)
            submission.deliver(told)
        return heads


def _meta(row: _Row) -> str | None:
    meta = row.event.meta
    if row.stamp:
        meta = {**meta, **row.stamp}
    if row.anomaly is not None:
        meta = {**meta, "anomaly": row.anomaly}
    return _encode(meta).decode() if meta else None
