"""A marketing platform: mirrors stage and consent of every lead into SQLite, and writes to those who agreed, never to others.

    python -m services.client.examples.marketing --database mirror.sqlite

Kill it at any instant and start it again: what a batch of events does and the place in the log that it leads to are one
transaction, so each event takes effect exactly once. What it learns about a lead it does not make up: it keeps the events and
folds them with the fold of the language (`schemas.lead`, `schemas.attributes`), so late, corrected and merged facts come out
here as they do in the service.

It writes only while it is level with the log, because while it catches up an opt-out may lie ahead; and who may be written to
is read in the transaction that writes, so a letter after an opt-out that has arrived cannot happen.
"""

import argparse
import asyncio
import sqlite3
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from schemas.attributes import PersonState, fold_attributes
from schemas.codec import UnknownEvent, body_of
from schemas.fact import Fact, fact_of
from schemas.lead import Lead, fold
from schemas.lead.state import Consent
from schemas.pipeline_files import read_pipelines
from schemas.pipelines import Pipelines
from schemas.wire import from_structured, structured
from services.client import Batch, Diverged, Fenced, KitError, SqliteCheckpoint, Subscription, Topic, subscribe
from services.client.examples.command import add_service, key_of

TABLES = """
CREATE TABLE IF NOT EXISTS fact (  -- the events of leads and people, as published
    stream TEXT NOT NULL, version INTEGER NOT NULL, event BLOB NOT NULL, PRIMARY KEY (stream, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lead (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, phase TEXT, stage TEXT, outcome TEXT NOT NULL, standing TEXT NOT NULL,
    person TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lead_by_stage ON lead (stage);
CREATE TABLE IF NOT EXISTS consent (  -- the last word on each purpose and channel, on a lead or on a person
    stream TEXT NOT NULL, purpose TEXT NOT NULL, channel TEXT NOT NULL, granted INTEGER NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (stream, purpose, channel)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS letter (  -- what we have written: one for each lead and stage
    id INTEGER PRIMARY KEY, lead TEXT NOT NULL, stage TEXT NOT NULL, person TEXT, UNIQUE (lead, stage));
"""

WRITE = """
WITH said AS (  -- of the lead and of its person the later word counts; of two at one instant, the withdrawal
    SELECT lead.id AS lead, granted, MAX(at || CASE granted WHEN 0 THEN '1' ELSE '0' END)
    FROM lead JOIN consent ON consent.stream = 'lead/' || lead.id OR consent.stream = 'person/' || lead.person
    WHERE lead.stage = :stage AND purpose IN (:purpose, 'any') AND channel IN (:channel, 'any')
    GROUP BY lead.id, purpose, channel)
INSERT INTO letter (lead, stage, person)
SELECT lead.id, lead.stage, lead.person FROM lead
WHERE lead.stage = :stage AND lead.outcome = 'open' AND lead.standing = 'running'
  AND EXISTS (SELECT 1 FROM said WHERE said.lead = lead.id AND granted)
  AND NOT EXISTS (SELECT 1 FROM said WHERE said.lead = lead.id AND NOT granted)
  AND NOT EXISTS (SELECT 1 FROM letter WHERE letter.lead = lead.id AND letter.stage = lead.stage)
"""


class Mirror:
    """The platform's own database."""

    def __init__(self, path: Path, pipelines: Pipelines) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.executescript(TABLES)
        self.checkpoint = SqliteCheckpoint(self.database, "marketing")
        self._pipelines = pipelines

    def apply(self, batch: Batch) -> None:
        """What the batch does, and where it leads to: both or neither. Raises Fenced."""
        with self.database:
            self.checkpoint.save(batch)
            touched = {}
            for event in batch.events:
                if event.stream.startswith(("lead/", "person/")):
                    row = (event.stream, event.recorded.version, structured(event.recorded, ""))
                    self.database.execute("INSERT INTO fact (stream, version, event) VALUES (?, ?, ?)", row)
                    touched[event.stream] = event.recorded.version
            for stream, version in touched.items():
                self._fold(stream, version)

    def _fold(self, stream: str, version: int) -> None:
        """Take all that is known of a lead or a person anew."""
        rows = self.database.execute("SELECT event FROM fact WHERE stream = ? ORDER BY version", (stream,))
        facts = list(_facts(line for (line,) in rows))
        kind, _, name = stream.partition("/")
        if kind == "lead":
            lead: Lead = fold(facts, self._pipelines)
            self.database.execute(
                "INSERT OR REPLACE INTO lead (id, version, phase, stage, outcome, standing, person) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, version, lead.phase, lead.stage, lead.outcome, lead.standing, lead.person_id),
            )
            consents: tuple[Consent, ...] = lead.consents
        else:
            person = fold_attributes("person", facts)
            consents = person.consents if isinstance(person, PersonState) else ()
        self.database.execute("DELETE FROM consent WHERE stream = ?", (stream,))
        self.database.executemany(
            "INSERT INTO consent (stream, purpose, channel, granted, at) VALUES (?, ?, ?, ?, ?)",
            [(stream, each.purpose, each.channel, each.granted, _text(each.at)) for each in consents],
        )

    def write(self, stage: str, purpose: str, channel: str) -> int:
        """Write to every open lead in the stage that may be written to and was not; how many letters that made."""
        with self.database:
            return self.database.execute(WRITE, {"stage": stage, "purpose": purpose, "channel": channel}).rowcount

    def count(self, table: str) -> int:
        (number,) = self.database.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(number)


def _facts(lines: Iterable[bytes]) -> Iterable[Fact]:
    for line in lines:
        recorded = from_structured(line)
        try:
            body = body_of(recorded)
        except UnknownEvent:
            continue  # a type of a later release: it moves nothing that this release knows of
        yield fact_of(recorded, recorded.version, body)


def _text(at: datetime) -> str:
    """Text that sorts as the instants do."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def run(mirror: Mirror, subscription: Subscription, given: argparse.Namespace) -> None:
    """Follow and write until stopped; with `--once` until level with the log. Raises what the subscription raises."""
    async with subscription:
        parts = [
            asyncio.create_task(_follow(mirror, subscription)),
            asyncio.create_task(_write(mirror, subscription, given)),
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)


async def _follow(mirror: Mirror, subscription: Subscription) -> None:
    async for batch in subscription:
        mirror.apply(batch)


async def _write(mirror: Mirror, subscription: Subscription, given: argparse.Namespace) -> None:
    """Twice a second, but only where everything that the log holds has been applied."""
    told = ""
    while True:
        await asyncio.sleep(0.5)
        level = subscription.level
        if level:
            mirror.write(given.stage, given.purpose, given.channel)
        behind = sum(lag.events for lag in subscription.lag.values())
        news = f"{mirror.count('lead')} leads, {mirror.count('letter')} letters, {behind} events behind"
        if news != told:
            print(news, flush=True)
            told = news
        if given.once and level:
            return


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m services.client.examples.marketing",
        description="Mirror stage and consent of every lead into SQLite, and write to those who agreed.",
    )
    add_service(parser)
    parser.add_argument(
        "--database", type=Path, default=Path("mirror.sqlite"), help="the mirror (default: %(default)s)"
    )
    parser.add_argument("--kafka", metavar="HOST:PORT", help="read Kafka as well; without it the feed alone is read")
    parser.add_argument("--topic", default="sales.lifecycle.events.v1", help="its topic (default: %(default)s)")
    parser.add_argument(
        "--pipelines", type=Path, default=Path(__file__).parents[3] / "deploy" / "pipelines",
        help="folder of the pipelines that the service uses (default: those that ship)",
    )  # fmt: skip
    parser.add_argument("--stage", default="sales-process", help="write to leads in this stage (default: %(default)s)")
    parser.add_argument("--purpose", default="newsletter", help="for what we write (default: %(default)s)")
    parser.add_argument("--channel", default="email", help="how we write (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="stop when level with the log")
    given = parser.parse_args()
    pipelines = read_pipelines(
        {path.name: path.read_text(encoding="utf-8") for path in sorted(given.pipelines.glob("*.yaml"))}
    )
    mirror = Mirror(given.database, pipelines)
    try:
        asyncio.run(_main(mirror, given))
    except (Diverged, Fenced) as error:
        sys.exit(f"Stopped: {error}")
    except KitError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


async def _main(mirror: Mirror, given: argparse.Namespace) -> None:
    topic = Topic(given.kafka, given.topic) if given.kafka else None
    await run(mirror, subscribe(given.url, key_of(given), mirror.checkpoint, topic=topic), given)


if __name__ == "__main__":
    main()
