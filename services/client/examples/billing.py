"""A billing system: posts what its own ledger holds (sales, changes, renewals, notices, payments), each entry once.

    python -m services.client.examples.billing --ledger ledger.sqlite --demo 100

An entry is posted until the service has answered it, and the answer is written beside it. Between the two this program may
die, as often as it likes: it posts the entry again, the id follows from the entry's own reference, and the service answers that
it knows it. So there is no queue, no second table and nothing to reconcile. An entry that is refused keeps the reason; mend the
entry, empty its `problem`, and run again.
"""

import argparse
import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path
from typing import Final

from schemas.events import Body, Contract, Money
from schemas.events.management import CancellationRequested, ContractChanged, ContractRenewed
from schemas.events.transaction import PaymentReceived, Won
from services.client import Answer, Door, KitError, Outgoing, Refused, event, id_of
from services.client.examples.command import add_service, key_of

SOURCE: Final = "/examples/billing"
SAVE_EVERY: Final = 200

LEDGER = """
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,  -- ours, for ever: the id of the event follows from it
    kind TEXT NOT NULL CHECK (kind IN ('sale', 'change', 'renewal', 'notice', 'payment')),
    lead TEXT NOT NULL,
    contract TEXT NOT NULL,
    amount TEXT NOT NULL,            -- a month's, of a payment: what came in
    currency TEXT NOT NULL,
    at TEXT NOT NULL,                -- when it happened, RFC 3339 with its offset
    until TEXT,                      -- last day of the term; of a notice: the instant at which service ends
    partition INTEGER, position INTEGER,  -- where it stands in the log, once it does
    problem TEXT)                    -- why it was refused
"""

Entry = sqlite3.Row


def _sale(entry: Entry) -> Body:
    until = date.fromisoformat(entry["until"]) if entry["until"] else None
    start = date.fromisoformat(entry["at"][:10])
    contract = Contract(contract_id=entry["contract"], mrr=_money(entry), term_start=start, term_end=until)
    return Won(value=_money(entry), contracts=(contract,))


def _change(entry: Entry) -> Body:
    return ContractChanged(contract_id=entry["contract"], mrr=_money(entry), effective_at=entry["at"])


def _renewal(entry: Entry) -> Body:
    return ContractRenewed(
        contract_id=entry["contract"], mrr=_money(entry), term_end=date.fromisoformat(entry["until"])
    )


def _notice(entry: Entry) -> Body:
    return CancellationRequested(contract_id=entry["contract"], effective_at=entry["until"])


def _payment(entry: Entry) -> Body:
    return PaymentReceived(payment_id=entry["reference"], amount=_money(entry))


BODIES: Final[dict[str, Callable[[Entry], Body]]] = {
    "sale": _sale, "change": _change, "renewal": _renewal, "notice": _notice, "payment": _payment,
}  # fmt: skip


def _money(entry: Entry) -> Money:
    return Money(amount=entry["amount"], currency=entry["currency"])


def event_of(entry: Entry) -> Outgoing:
    """The same entry gives the same event, byte for byte, whenever it is asked for."""
    return event(
        BODIES[entry["kind"]](entry), f"lead/{entry['lead']}", source=SOURCE, id=id_of(entry["reference"]), time=entry["at"]
    )  # fmt: skip


class Ledger:
    """Our own database."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.row_factory = sqlite3.Row
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute(LEDGER)

    def open_entries(self) -> list[Entry]:
        """What has no answer yet, in our order."""
        return self.database.execute(
            "SELECT * FROM entry WHERE position IS NULL AND problem IS NULL ORDER BY number LIMIT 20000"
        ).fetchall()

    def note(self, answered: list[tuple[Entry, Answer]]) -> None:
        """Write the answers beside their entries, in one transaction."""
        with self.database:
            for entry, answer in answered:
                if isinstance(answer, Refused):
                    why = "; ".join(f"{flaw.pointer} {flaw.detail}" for flaw in answer.errors) or answer.detail
                    said: tuple[int | None, int | None, str | None] = (None, None, f"{answer.code}: {why}")
                else:
                    said = (answer.partition, answer.position, None)
                self.database.execute(
                    "UPDATE entry SET partition = ?, position = ?, problem = ? WHERE number = ?",
                    (*said, entry["number"]),
                )

    def refused(self) -> list[Entry]:
        return self.database.execute("SELECT * FROM entry WHERE problem IS NOT NULL ORDER BY number").fetchall()

    def fill(self, contracts: int) -> None:
        """Make up some contracts with what happened to them; what is there already stays as it is."""
        with self.database:
            self.database.executemany(
                "INSERT OR IGNORE INTO entry (reference, kind, lead, contract, amount, currency, at, until) "
                "VALUES (?, ?, ?, ?, ?, 'EUR', ?, ?)",
                [row for number in range(1, contracts + 1) for row in _story(number)],
            )


def _story(number: int) -> list[tuple[str, str, str, str, str, str, str | None]]:
    """A contract of some size, three payments, and by its number a change, a renewal or a notice."""
    lead, contract, price = f"B-{number}", f"C-{number}", f"{50 + number % 40}.00"
    month = f"{1 + number % 9:02}"
    rows: list[tuple[str, str, str, str, str, str, str | None]] = [
        (f"{contract}.sale", "sale", lead, contract, price, f"2025-{month}-03T09:00:00+01:00", "2026-12-31")
    ]
    rows += [
        (f"{contract}.payment-{n}", "payment", lead, contract, price, f"2025-{9 + n}-05T08:00:00+01:00", None)
        for n in (1, 2, 3)
    ]
    if number % 3 == 0:
        rows.append((f"{contract}.change", "change", lead, contract, "120.00", "2026-02-01T00:00:00+01:00", None))
    if number % 5 == 0:
        rows.append(
            (f"{contract}.renewal", "renewal", lead, contract, "120.00", "2026-03-01T10:00:00+01:00", "2027-12-31")
        )
    if number % 7 == 0:
        rows.append(
            (
                f"{contract}.notice",
                "notice",
                lead,
                contract,
                "0.00",
                "2026-04-01T10:00:00+02:00",
                "2026-12-31T23:00:00Z",
            )
        )
    return rows


async def post(ledger: Ledger, door: Door) -> AsyncIterator[int]:
    """Post all open entries; how many were answered, as it goes on."""
    while entries := ledger.open_entries():
        answered: list[tuple[Entry, Answer]] = []
        following = iter(entries)
        async for answer in door.append_lines(map(event_of, entries)):
            answered.append((next(following), answer))
            if len(answered) >= SAVE_EVERY:
                ledger.note(answered)
                yield len(answered)
                answered = []
        ledger.note(answered)
        yield len(answered)


async def run(ledger: Ledger, given: argparse.Namespace) -> None:
    async with Door(given.url, key_of(given), patience_s=given.patience) as door:
        posted, told_at = 0, time.monotonic()
        while True:
            async for answered in post(ledger, door):
                posted += answered
                if time.monotonic() - told_at > 1:
                    print(f"{posted} entries answered", flush=True)
                    told_at = time.monotonic()
            if not given.follow:
                break
            await asyncio.sleep(1)
    print(f"{posted} entries answered; all are in the log, or refused", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m services.client.examples.billing",
        description="Post the entries of a ledger as events, each once. The exit code is 1 where one was refused.",
    )
    add_service(parser)
    parser.add_argument("--ledger", type=Path, default=Path("ledger.sqlite"), help="the ledger (default: %(default)s)")
    parser.add_argument("--demo", type=int, metavar="N", help="first make up N contracts and what happened to them")
    parser.add_argument("--follow", action="store_true", help="go on with what is entered later; Ctrl-C ends it")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="S", help="how long to try (default: %(default)s s)"
    )
    given = parser.parse_args()
    ledger = Ledger(given.ledger)
    if given.demo:
        ledger.fill(given.demo)
    try:
        asyncio.run(run(ledger, given))
    except KitError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    for entry in ledger.refused():
        print(f"{entry['reference']} was refused: {entry['problem']}", file=sys.stderr)
    sys.exit(1 if ledger.refused() else 0)


if __name__ == "__main__":
    main()
