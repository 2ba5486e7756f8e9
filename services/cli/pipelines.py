"""`salescycle pipelines`: check the documents, list what is in use, move leads from one pipeline or version to another."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from schemas.pipeline_files import read_pipelines
from schemas.pipelines import Pipeline, PipelineError, Pipelines
from services.cli import settings
from services.cli.machine import CannotStart
from services.cli.settings import CliSettings
from services.kernel.clock import utc_now
from services.kernel.configuration import Misconfigured, read_documents

app = typer.Typer(
    no_args_is_help=True, help="The company's own stages: check them, list them, move leads between them."
)
console = Console(highlight=False, soft_wrap=True)

SOURCE = "/salescycle/pipelines"
GONE = ("absorbed", "void")
"""Leads that move no more: another one goes on for them, or they never counted."""
_PAGE = 500


class Step(NamedTuple):
    """What would become of one lead."""

    lead: str
    version: int
    stage: str
    to_stage: str
    phase: str
    to_phase: str


@app.command()
def check(
    folder: Annotated[Path | None, typer.Argument(help="Folder of YAML documents; default: the one in use.")] = None,
) -> None:
    """Hold every document to the format and to the others. Exit code 1 with file, line and column of the first flaw."""
    found = _read(folder or settings.load().pipelines_dir)
    console.print(f"{len(found.all())} pipelines, all well: {', '.join(f'{p.name} {p.version}' for p in found.all())}")


@app.command("list")
def list_() -> None:
    """Every pipeline and version with its stages."""
    table = Table("pipeline", "version", "stages", "customer", "on term end")
    found = _read(settings.load().pipelines_dir)
    for pipeline in found.all():
        name = f"{pipeline.name} (default)" if pipeline is found.default else pipeline.name
        ends = (
            pipeline.on_term_end
            if isinstance(pipeline.on_term_end, str)
            else f"lapse after {pipeline.on_term_end.lapse} days"
        )
        stages = " → ".join(stage.name for stage in pipeline.stages)
        table.add_row(name, str(pipeline.version), stages, pipeline.customer_type, ends)
    console.print(table)


@app.command()
def move(
    to: Annotated[
        str, typer.Option(help="Pipeline to move to, such as compass or compass@2; default version: the newest.")
    ],
    from_: Annotated[
        str | None, typer.Option("--from", help="All leads of this pipeline, such as six-phase or six-phase@1.")
    ] = None,
    lead: Annotated[list[str] | None, typer.Option(help="This lead; may be repeated.")] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="old=new for a stage; default: the same name, else the phase's first stage."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only say what would change.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why, in words; kept in the events.")] = None,
) -> None:
    """Move leads to another pipeline or version: a preview first, then PipelineMoved for each with `--apply`.

    A lead that changes between the preview and the move is left alone and named: run it again.
    """
    if (from_ is None) == (not lead):
        raise CannotStart("Say which leads: either --from PIPELINE or --lead ID (which may be repeated)")
    given = settings.load()
    pipelines = _read(given.pipelines_dir)
    target = _pipeline(pipelines, to)
    left_behind = asyncio.run(
        _move(given, pipelines, target, from_, lead or [], _renamed(stage or [], target), apply, reason)
    )
    if left_behind:
        raise typer.Exit(1)


def _read(folder: Path) -> Pipelines:
    try:
        return read_pipelines(read_documents(folder, ".yaml"))
    except PipelineError as error:
        raise CannotStart(f"The pipelines in {folder} cannot be used. {error}") from None
    except Misconfigured as error:
        raise CannotStart(str(error)) from None


def _pipeline(pipelines: Pipelines, named: str) -> Pipeline:
    name, _, number = named.partition("@")
    found = pipelines.get(name, int(number) if number.isdigit() else None) if not number or number.isdigit() else None
    if found is None:
        known = ", ".join(f"{each.name}@{each.version}" for each in pipelines.all())
        raise CannotStart(f"There is no pipeline {named}; there are: {known}")
    return found


def _renamed(pairs: list[str], target: Pipeline) -> dict[str, str]:
    renamed = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not equals or target.stage(new) is None:
            stages = ", ".join(stage.name for stage in target.stages)
            raise CannotStart(f"--stage {pair}: write old=new, where new is one of: {stages}")
        renamed[old] = new
    return renamed


async def _move(
    given: CliSettings, pipelines: Pipelines, target: Pipeline, from_: str | None, leads: list[str],
    renamed: dict[str, str], apply: bool, reason: str | None,
) -> int:  # fmt: skip
    """Returns how many leads were left behind."""
    headers = given.authorization()
    async with httpx.AsyncClient(base_url=given.lifecycle_url, headers=headers, timeout=60) as http:
        steps = []
        with Progress(console=console, transient=True) as progress:
            looking = progress.add_task("looking at leads", total=None)
            async for each in _leads(http, pipelines, from_, leads):
                there = (each.get("pipeline"), each.get("pipeline_version")) == (target.name, target.version)
                if not there and each["standing"] not in GONE:
                    steps.append(_step(each, target, renamed))
                progress.advance(looking)
        _show(steps, target)
        if not apply or not steps:
            if steps:
                console.print("Nothing was changed. `--apply` does it.")
            return 0
        return await _post(http, steps, target, reason)


async def _leads(
    http: httpx.AsyncClient, pipelines: Pipelines, from_: str | None, leads: list[str]
) -> AsyncIterator[dict[str, Any]]:
    for lead in leads:
        answer = await http.get(f"/v1/leads/{lead}")
        if answer.status_code == 404:
            raise CannotStart(f"There is no lead {lead}")
        yield _json(answer)
    if from_ is None:
        return
    name, _, number = from_.partition("@")
    _pipeline(pipelines, from_)
    parameters: dict[str, Any] = {"pipeline": name, "limit": _PAGE}
    while True:
        page = _json(await http.get("/v1/leads", params=parameters))
        for lead in page["leads"]:
            if not number or lead.get("pipeline_version") == int(number):
                yield lead
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]


def _step(lead: dict[str, Any], target: Pipeline, renamed: dict[str, str]) -> Step:
    stage = lead.get("stage") or ""
    phase = lead.get("underlying_phase") or lead.get("phase") or "opportunity"
    new = target.stage(renamed.get(stage, stage)) or target.stage(target.entrance(phase)) or target.first
    return Step(lead["id"], lead["version"], stage, new.name, phase, new.phase)


def _show(steps: list[Step], target: Pipeline) -> None:
    if not steps:
        console.print(f"No lead would change: all that were asked for follow {target.name} {target.version} already.")
        return
    table = Table("stage", "→ stage", "phase", "→ phase", "leads", title=f"to {target.name} {target.version}")
    counted = Counter((each.stage, each.to_stage, each.phase, each.to_phase) for each in steps)
    for (stage, to_stage, phase, to_phase), n in sorted(counted.items()):
        changed = "" if phase == to_phase else "[yellow]"
        table.add_row(stage, to_stage, phase, f"{changed}{to_phase}", str(n))
    console.print(table)


async def _post(http: httpx.AsyncClient, steps: list[Step], target: Pipeline, reason: str | None) -> int:
    moved = left_behind = 0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("moving", total=len(steps))
        for start in range(0, len(steps), _PAGE):
            events = [_event(step, target, reason) for step in steps[start : start + _PAGE]]
            answer = await http.post(
                "/v1/events", content=msgspec.json.encode(events),
                headers={"content-type": "application/cloudevents-batch+json"},
            )  # fmt: skip
            for step, result in zip(steps[start : start + _PAGE], _json(answer), strict=True):
                if result["status"] in (200, 201):
                    moved += 1
                else:
                    left_behind += 1
                    console.print(f"lead {step.lead} was left where it is: {result['detail']}", markup=False)
            progress.advance(task, len(events))
    console.print(f"{moved} leads moved to {target.name} {target.version}; {left_behind} left behind.")
    return left_behind


def _event(step: Step, target: Pipeline, reason: str | None) -> dict[str, Any]:
    data = {"pipeline": target.name, "pipeline_version": target.version, "stage": step.to_stage}
    return {
        "specversion": "1.0", "source": SOURCE, "type": "PipelineMoved", "subject": f"lead/{step.lead}",
        "id": _id(step, target), "time": utc_now().isoformat(),
        "expectedversion": step.version, "data": {**data, "reason": reason} if reason else data,
    }  # fmt: skip


def _id(step: Step, target: Pipeline) -> str:
    """The same move of the same lead as it stood is the same event, however often the command is run."""
    text = f"{step.lead}\n{step.version}\n{target.name}\n{target.version}\n{step.to_stage}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _json(answer: httpx.Response) -> Any:
    if answer.status_code != 200:
        raise CannotStart(f"lifecycle answers {answer.status_code}: {answer.json().get('detail', '')}")
    return answer.json()
