"""Rules of the house that no other tool checks: a rule that no machine holds is not a rule."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from schemas.events import EVENTS
from services.kernel.api_page import api_page
from services.kernel.auth import KeyRing, undeclared_routes
from services.kernel.migrate import CONSUMER, LOG, migrations_of
from services.kernel.routes import routes_of
from services.lifecycle.api import lifecycle
from services.projections.api import router
from services.projections.models import MODELS
from services.projections.query.metric import Deployment
from tests.unit.projections.histories import PIPELINES

ROOT = Path(__file__).parents[2]
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "base", "misc"}
LONGEST = 400


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    found = [ROOT / name for name in listed] or [path for pattern in patterns for path in ROOT.rglob(pattern)]
    return [path for path in found if path.is_file()]


def test_no_module_is_named_for_nothing() -> None:
    named = [
        path for path in tracked("*.py", "*.sql") if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES
    ]
    assert not named, "a name says what a module is about"


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked("services/*.py", "schemas/*.py")
        if path.stat().st_size and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert not silent


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): n
        for path in tracked("*.py", "*.sql")
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long


def test_every_sql_file_says_purpose_cost_and_locks() -> None:
    for path in tracked("services/*/sql/*.sql"):
        text = path.read_text(encoding="utf-8")
        header = "\n".join(line for line in text.splitlines() if line.startswith("--"))
        for word in ("Locks", "Cost", "Returns"):
            assert re.search(word, header, re.IGNORECASE), f"{path.name} does not say its {word.lower()}"
        assert "SELECT *" not in text.replace("SELECT * FROM share", ""), (
            f"{path.name} selects columns that nobody named"
        )


def test_migrations_are_numbered_and_say_what_they_lock() -> None:
    for component in (LOG, CONSUMER):
        for migration in migrations_of(component):
            assert migration.text.startswith("-- "), f"{component.name}/{migration.name}"
            assert "Locks:" in migration.text.splitlines()[0]


def test_every_route_declares_a_scope_or_that_it_is_public() -> None:
    from fastapi import FastAPI
    from sqlalchemy.ext.asyncio import create_async_engine

    doors = lifecycle(_NoPlacements(), {}, KeyRing(Path("nowhere")), "http://tests")  # type: ignore[arg-type]
    assert undeclared_routes(doors.app) == []
    declared = [route.path for route in routes_of(doors.app) if isinstance(route, APIRoute)]
    assert {"/v1/leads", "/v1/log/{partition}", "/schemas/{type}/{version}"} <= set(declared)
    queries = FastAPI()
    nowhere = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1/nothing")
    queries.include_router(router(nowhere, Deployment(PIPELINES, {}, "UTC")))
    assert undeclared_routes(queries) == []


class _NoPlacements:
    """Routes are only declared here, none is called."""

    partitions = 12


def test_the_door_stands_in_the_openapi_document() -> None:
    doors = lifecycle(_NoPlacements(), {}, KeyRing(Path("nowhere")), "http://tests")  # type: ignore[arg-type]
    document = doors.app.openapi()
    assert document["openapi"].startswith("3.1")
    door = document["paths"]["/v1/events"]["post"]
    assert {"201", "409", "412", "422", "503"} <= set(door["responses"])
    assert len(document["components"]["schemas"]["Event"]["oneOf"]) == len(EVENTS)
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_the_docs_page_needs_nothing_from_outside() -> None:
    doors = lifecycle(_NoPlacements(), {}, KeyRing(Path("nowhere")), "http://tests")  # type: ignore[arg-type]
    page = api_page(doors.app.openapi())
    assert "/v1/events" in page
    assert "src=" not in page
    assert "https://" not in page


def test_services_do_not_reach_for_each_other_across_schemas() -> None:
    for path in tracked("services/projections/*.py", "services/projections/*.sql"):
        assert "lifecycle." not in re.sub(
            r"services\.lifecycle|lifecycle_url", "", path.read_text(encoding="utf-8")
        ).replace("lifecycle.md", ""), path


@pytest.mark.parametrize("name", sorted(MODELS))
def test_tables_of_a_read_model_lead_with_the_partition(name: str) -> None:
    for path in (ROOT / "services/projections" / name).glob("tables.sql"):
        for key in re.findall(r"PRIMARY KEY \(([^)]*)\)", path.read_text(encoding="utf-8")):
            assert key.startswith("partition"), key


NOT_OF_THE_PRODUCT = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w.])/(home|Users|root|work|workspace|mnt)/[\w.-]|(?<![\w.])/tmp/[\w.-]|\b[A-Z]:\\Users\\"
    ),
    "the number of an issue": re.compile(r"(?i)\b(issue|issues|pr|pull request|closes|fixes|see) ?[#/]\d"),
    "who or what wrote it": re.compile(
        r"(?i)\bco-authored-by\b|\b(claude|anthropic|chatgpt|openai|copilot)\b|\b(written|generated|made) (by|with) (an? )?(ai|llm)\b"
    ),
}


def named(text: str) -> list[str]:
    """What in `text` tells of a workplace and not of the product."""
    return [what for what, words in NOT_OF_THE_PRODUCT.items() if words.search(text)]


def test_the_repository_speaks_of_the_product_alone() -> None:
    told = {
        str(path.relative_to(ROOT)): found
        for path in tracked(
            "*.md", "*.py", "*.sql", "*.yaml", "*.toml", "*.xml", "*.txt", "Makefile", "Dockerfile", "run"
        )
        if path != Path(__file__) and (found := named(path.read_text(encoding="utf-8")))
    }
    assert not told


@pytest.mark.parametrize(
    "text",
    [
        "see /home/ana/notes.md", "cd /work/shared && make", "written to /tmp/reader1/log", "/Users/ana/x", "C:\\Users\\ana",
        "`/root/.cache`", "mends issue #12", "closes #7", "issues/123", "Co-Authored-By: somebody", "generated with AI",
    ],
)  # fmt: skip
def test_what_tells_of_a_workplace_is_found(text: str) -> None:
    assert named(text)


@pytest.mark.parametrize(
    "text",
    [
        "below /var/tmp/x", "tmpfs: [/tmp]", "tests/work/x", "https://example.org/home/page", "color:#222", "the session of a test",
        "an agent of the sales team", "generated by make schemas",
    ],
)  # fmt: skip
def test_what_tells_of_the_product_is_let_through(text: str) -> None:
    assert not named(text)
