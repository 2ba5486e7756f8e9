"""`salescycle topics apply`: makes the topics of deploy/topics.yaml, once; never changes how many partitions one has."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from services.cli import machine, settings
from services.kernel import kafka
from services.kernel.settings import KernelSettings

app = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")


class Topic(BaseModel):
    """One topic as the file names it. `partitions: log` means as many as the log has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    setting: Literal["events_topic", "leads_topic"] | None = None
    partitions: int | Literal["log"] = "log"
    configuration: dict[str, str] = {}


class TopicsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: tuple[Topic, ...]


class Plan(BaseModel):
    """What a topic is to be; `partitions_found` is None where it does not exist yet."""

    name: str
    partitions: int
    partitions_found: int | None
    replication_factor: int
    configuration: dict[str, str]


def read_topics(path: Path) -> TopicsFile:
    """Raises machine.CannotStart with what to mend."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TopicsFile.model_validate(document)
    except FileNotFoundError:
        raise machine.CannotStart(f"There is no {path}; name the file: SALESCYCLE_TOPICS_FILE=…") from None
    except (yaml.YAMLError, ValidationError) as flaw:
        raise machine.CannotStart(f"{path} cannot be used: {flaw}") from flaw


async def plan(given: KernelSettings, path: Path) -> list[Plan]:
    """What is and what is to be, topic by topic. Raises errors.Unavailable where the broker does not answer."""
    plans = []
    for topic in read_topics(path).topics:
        name = getattr(given.kafka, topic.setting) if topic.setting else topic.name
        configuration = {**topic.configuration, "min.insync.replicas": str(given.kafka.min_insync_replicas)}
        plans.append(
            Plan(
                name=name,
                partitions=given.log.partitions if topic.partitions == "log" else topic.partitions,
                partitions_found=await kafka.partition_count(given.kafka, name),
                replication_factor=given.kafka.replication_factor,
                configuration=configuration,
            )
        )
    return plans


async def apply_topics(given: KernelSettings, path: Path) -> list[Plan]:
    """Make what is missing; returns the plan it followed. Doing it again changes nothing.

    Raises:
        errors.Unavailable: the broker does not answer.
        kernel.kafka.WrongTopic: a topic has another number of partitions; nothing was changed on it.
    """
    followed = await plan(given, path)
    for topic in followed:
        await kafka.ensure_topic(given.kafka, topic.name, topic.partitions, topic.configuration)
    return followed


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Make the topics that are missing. Refuses a topic that has another number of partitions."""
    given = settings.load()
    work = plan(given, given.topics_file) if dry_run else apply_topics(given, given.topics_file)
    differing = False
    for topic in asyncio.run(work):
        shape = f"{topic.partitions} partitions, {topic.replication_factor} replicas"
        if topic.partitions_found == topic.partitions:
            print(f"{topic.name}: is there ({shape})")
        elif topic.partitions_found is None:
            print(f"{topic.name}: {'would be made' if dry_run else 'made'} ({shape})")
        else:
            differing = True
            print(f"{topic.name}: has {topic.partitions_found} partitions, the log has {topic.partitions}")
    if dry_run and differing:
        raise typer.Exit(1)
