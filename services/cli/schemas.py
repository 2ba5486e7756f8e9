"""`salescycle schemas`: the documents of the published language, made from the types and kept in the repository.

They are committed so that a change of the language is seen in review, and so that others can take them without running
anything. The commands work on the checkout that the program was started from.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import typer
import yaml
from fastapi import FastAPI

from schemas.examples import examples
from schemas.publication.asyncapi import asyncapi
from schemas.publication.json_schemas import key_of, schema_documents
from schemas.publication.state_diagram import with_generated
from services.cli.machine import CannotStart
from services.kernel.auth import KeyRing
from services.kernel.placements import Placements

app = typer.Typer(
    no_args_is_help=True, help="The published language: schemas, examples, AsyncAPI, OpenAPI, the state diagram."
)

ROOT = Path(__file__).parents[2]
PUBLISHED = Path("schemas/json/published.ndjson")
_OWNED = ("schemas/json/*.json", "schemas/golden/*.json", "schemas/openapi/*.json")
"""Folders in which every such file is generated; one that no type stands for any more is stale."""
_PAGE = Path("docs/lifecycle.md")
_COMMAND = "salescycle schemas write"


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file, by its path below `root`. `docs/lifecycle.md` is read for what is written by hand there.

    Raises:
        CannotStart: `root` is no checkout.
    """
    if not (root / _PAGE).is_file():
        raise CannotStart(f"There is no {_PAGE} in {root}: run this in a checkout, whose documents it is about")
    made = {Path(f"schemas/json/{key}.json"): _json(schema) for key, schema in schema_documents().items()}
    for (name, version), example in examples().items():
        made[Path(f"schemas/golden/{key_of(name, version)}.json")] = _json(example)
    made[Path("schemas/asyncapi.yaml")] = _yaml(asyncapi())
    made[Path("schemas/openapi/lifecycle.json")] = _json(_lifecycle_openapi())
    made[Path("schemas/openapi/projections.json")] = _json(asyncio.run(_projections_openapi()))
    made[Path("docs/metrics.md")] = _metrics_page()
    made[_PAGE] = with_generated((root / _PAGE).read_text(encoding="utf-8"))
    return made


def drifted(made: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Which files differ from what is generated, are missing, or stand for nothing any more; each with what is wrong."""
    found = []
    for path, text in made.items():
        there = root / path
        if not there.is_file():
            found.append(f"{path} is missing")
        elif there.read_text(encoding="utf-8") != text:
            found.append(f"{path} is not what is generated")
    return found + [f"{path} stands for nothing any more" for path in _stale(made, root)]


def not_recorded(root: Path = ROOT) -> str:
    """The lines that `published.ndjson` lacks: the shapes that the schemas have now.

    Raises:
        CannotStart: a schema changed in a way that stored events or subscribers could not follow.
    """
    try:
        from schemas.publication import compatibility  # noqa: PLC0415  its judge is installed for development only
    except ModuleNotFoundError:
        raise CannotStart("jsoncompat is missing, which is installed for development: run `make setup`") from None
    record = root / PUBLISHED
    published = compatibility.read_published(record.read_text(encoding="utf-8") if record.is_file() else "")
    schemas = schema_documents()
    refused = compatibility.refusals(schemas, published)
    if refused:
        raise CannotStart(
            "\n".join(refused)
            + "\nWithin a version only optional fields are added. Make it a new version, with an upcaster: "
            "docs/lifecycle.md says how"
        )
    return compatibility.unpublished(schemas, published)


@app.command()
def write() -> None:
    """Generate all documents into the checkout. Refuses a change that stored events or subscribers could not follow."""
    lines = not_recorded()
    made = documents()
    stale = _stale(made, ROOT)
    for path in stale:
        (ROOT / path).unlink()
    changed = [path for path, text in made.items() if _put(ROOT / path, text)]
    if lines:
        (ROOT / PUBLISHED).parent.mkdir(parents=True, exist_ok=True)
        with (ROOT / PUBLISHED).open("a", encoding="utf-8") as record:
            record.write(lines)
        changed.append(PUBLISHED)
    for path in changed:
        print(f"wrote {path}")
    for path in stale:
        print(f"removed {path}")
    print(f"{len(made)} documents are as the types say")


@app.command()
def check() -> None:
    """Fail where a committed document is not what is generated, or a schema has broken its promise."""
    found = drifted(documents())
    if not_recorded():
        found.append(f"{PUBLISHED} lacks the present shape of a schema")
    for each in found:
        print(each)
    if found:
        print(f"Run `{_COMMAND}`, look at what changed, and commit it")
        raise typer.Exit(1)
    print("What is committed is what the types say, and every schema is compatible with all its published shapes")


def _stale(made: dict[Path, str], root: Path) -> list[Path]:
    there = (path.relative_to(root) for pattern in _OWNED for path in sorted(root.glob(pattern)))
    return [path for path in there if path not in made]


def _put(path: Path, text: str) -> bool:
    """Whether the file was other, or not there."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _lifecycle_openapi() -> dict[str, Any]:
    """Routes are declared without a store: a log without primaries, a key ring without keys, and an address that no document holds."""
    from services.lifecycle.api import lifecycle  # noqa: PLC0415  half a second that no other command should pay

    doors = lifecycle(Placements([], 12), {}, KeyRing(Path("no-keys")), "http://lifecycle.example")
    return _openapi_of(doors.app)


def _metrics_page() -> str:
    from services.projections.metric_page import metrics_page  # noqa: PLC0415  the same

    return metrics_page()


async def _projections_openapi() -> dict[str, Any]:
    from services.projections.api import projections  # noqa: PLC0415  the same
    from services.projections.settings import Settings as ProjectionsSettings  # noqa: PLC0415  the same

    async with projections(ProjectionsSettings(), KeyRing(Path("no-keys"))) as service:
        return _openapi_of(service)


def _openapi_of(service: FastAPI) -> dict[str, Any]:
    document: dict[str, Any] = service.openapi()
    return document


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Plain(yaml.SafeDumper):
    """Writes equal parts out, where YAML would refer to the first of them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Any) -> str:
    head = f"# Generated from the event registry. To write it anew: {_COMMAND}\n"
    return head + yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1_000)
