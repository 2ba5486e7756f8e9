"""The `salescycle` command: help that helps, messages that say what to do, and no traceback."""

import asyncio
import json
from pathlib import Path

import pytest

from services.cli import doctor
from services.cli.doctor import Finding
from services.cli.embedded_broker import EmbeddedBroker
from services.cli.machine import free_port
from services.cli.settings import CliSettings
from services.kernel import auth
from services.kernel.errors import Unauthenticated
from tests.support.processes import Processes


def findings(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    for name, value in processes.environment.items():
        if name.startswith("SALESCYCLE_"):
            monkeypatch.setenv(name, value)
    return {finding.what: finding for finding in asyncio.run(doctor.examine(CliSettings()))}


@pytest.mark.parametrize(
    "command", [(), ("keys",), ("topics",), ("up",), ("doctor",), ("kafka",), ("reset",), ("migrate",)]
)
def test_every_command_has_help(processes: Processes, command: tuple[str, ...]) -> None:
    said = processes.salescycle(*command, "--help").stdout
    assert "Usage" in said
    assert "." in said


def test_a_key_is_made_listed_and_revoked(processes: Processes) -> None:
    token = processes.salescycle(
        "keys", "create", "--scopes", "events:read,events:write", "--note", "crm"
    ).stdout.strip()
    key_id = token.split("_")[1]
    row = next(row for row in json.loads(processes.salescycle("keys", "list", "--json").stdout) if row["id"] == key_id)
    assert (row["scopes"], row["note"], row["revoked_at"]) == (["events:read", "events:write"], "crm", None)
    processes.salescycle("keys", "revoke", key_id)
    assert f"{key_id}" in processes.salescycle("keys", "list").stdout
    ring = auth.KeyRing(Path(processes.environment["SALESCYCLE_KEYS_FILE"]))
    with pytest.raises(Unauthenticated):
        ring.authorise(f"Bearer {token}", "events:read")


def test_scopes_given_one_by_one_are_all_in_the_key(processes: Processes) -> None:
    token = processes.salescycle(
        "keys", "create", "--scopes", "events:read", "--scopes", "events:write,ops:admin"
    ).stdout
    rows = json.loads(processes.salescycle("keys", "list", "--json").stdout)
    assert {row["id"]: row["scopes"] for row in rows}[token.split("_")[1]] == [
        "events:read", "events:write", "ops:admin",
    ]  # fmt: skip


def test_a_scope_that_does_not_exist_is_named_with_those_that_do(processes: Processes) -> None:
    done = processes.salescycle("keys", "create", "--scopes", "events:delete", check=False)
    assert done.returncode == 1
    assert "events:delete" in done.stderr
    assert "events:write" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_that_does_not_answer_is_one_clear_line(processes: Processes, broker: EmbeddedBroker) -> None:
    broker.stop()
    done = processes.salescycle("topics", "apply", check=False)
    assert done.returncode == 1
    assert broker.bootstrap in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_type_that_does_not_exist_is_refused_with_the_near_one(processes: Processes) -> None:
    done = processes.salescycle("tail", "--type", "stage-entered", check=False)
    assert done.returncode == 1
    assert (
        "There is no event type stage-entered (did you mean `StageEntered`?); there are: LeadCaptured," in done.stderr
    )


def test_a_postgresql_that_does_not_answer_is_one_clear_line(processes: Processes) -> None:
    processes.environment["SALESCYCLE_POSTGRES__URL"] = f"postgresql://salescycle@127.0.0.1:{free_port()}/salescycle"
    done = processes.salescycle("migrate", check=False)
    assert done.returncode == 1
    assert "salescycle doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_to_do_on_a_fresh_store_and_is_content_once_it_was_done(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = findings(processes, monkeypatch)
    assert before["PostgreSQL"].state == before["fsync"].state == before["clocks"].state == "ok"
    assert before["schema lifecycle"].do == "run `salescycle migrate`"
    assert before["topic"].do == "run `salescycle topics apply`"
    processes.salescycle("migrate")
    processes.salescycle("topics", "apply")
    after = findings(processes, monkeypatch)
    wanted = {"PostgreSQL", "schema lifecycle", "schema projections", "broker", "topic", "keys", "clocks"}
    assert {after[what].state for what in wanted} == {"ok"}
    assert after["lifecycle"].state == "fail"
    said = processes.salescycle("doctor", check=False).stdout
    assert "synchronous_commit  on\n" in said
    assert "schema projections  level" in said


def test_doctor_finds_a_keys_file_that_others_may_read(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(processes.environment["SALESCYCLE_KEYS_FILE"])
    path.chmod(0o644)
    found = findings(processes, monkeypatch)["keys"]
    assert (found.state, found.do) == ("fail", f"chmod 600 {path}")


def test_doctor_finds_a_topic_with_another_number_of_partitions(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.salescycle("topics", "apply")
    processes.environment["SALESCYCLE_LOG__PARTITIONS"] = "5"
    found = findings(processes, monkeypatch)["topic"]
    assert found.state == "fail"
    assert "has 12 partitions, the log has 5" in found.seen
