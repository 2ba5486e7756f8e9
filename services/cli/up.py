"""`salescycle up | down | reset`: the whole system on this machine, supervised, in one folder."""

import asyncio
import fcntl
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from rich.console import Console

from services.cli import demo, machine, migrate, settings, topics
from services.cli.embedded import PORT_SETTING, EmbeddedPostgres, write_private
from services.cli.embedded_broker import PORT_SETTING as BROKER_PORT_SETTING
from services.cli.embedded_broker import EmbeddedBroker
from services.cli.settings import CliSettings
from services.cli.supervisor import Interrupted, LeftOver, Program, Supervisor
from services.kernel import auth
from services.kernel.errors import SalescycleError
from services.kernel.settings import HttpSettings

SERVICES: Final = ("lifecycle", "projections")
"""In the order in which they start."""

console = Console(highlight=False, soft_wrap=True)


class Folder:
    """The data folder: what `up` keeps, and the lock that says who runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.broker = path / "broker"
        self.logs = path / "logs"
        self.run = path / "run"
        self.key = path / "key"
        self.environment = path / "environment"
        self.lock = path / "up.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock while `up` runs. Raises machine.CannotStart where another one holds it."""
        # As root the server's own user must pass through to its part of the folder; it can list nothing here.
        self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)
        with self.lock.open("a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise machine.CannotStart(
                    f"It runs already (process {self.supervisor()}, data in {self.path}); `make down` stops it"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield
            file.truncate(0)

    def supervisor(self) -> int | None:
        """The process id of the running `up`, by the lock that it holds; None where none runs."""
        if not self.lock.exists():
            return None
        with self.lock.open("r+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
        return None

    def delete(self) -> None:
        """Delete what `up` made, and the folder itself where nothing else lies in it."""
        for folder in (self.postgres, self.broker, self.logs, self.run, *self.path.glob("kafka-[13]")):
            shutil.rmtree(folder, ignore_errors=True)
        for name in ("key", "environment", "up.lock", "keys.json", "keys.json.lock"):
            (self.path / name).unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()


def up() -> None:
    """Start everything here and stay: PostgreSQL, broker, services, a small demo. Ctrl-C stops it.

    SALESCYCLE_POSTGRES__URL and SALESCYCLE_KAFKA__BOOTSTRAP name servers of yours: those are used, and none is started.
    DEMO=0 leaves out the demo.
    """
    given_postgres = os.environ.get("SALESCYCLE_POSTGRES__URL")
    given_kafka = os.environ.get("SALESCYCLE_KAFKA__BOOTSTRAP")
    chosen = settings.from_variables()
    folder = Folder(settings.data_folder())
    supervisor = Supervisor(_say)
    with folder.locked(), _stop_on_signals(supervisor):
        try:
            _clear_the_way(
                folder, chosen, embedded_postgres=given_postgres is None, embedded_broker=given_kafka is None
            )
            environment = _start_servers(supervisor, folder, chosen, given_postgres, given_kafka)
            _start_services(supervisor, folder, chosen, environment)
            _load_demo(environment)
            _show_what_to_try(folder, environment)
            supervisor.watch()
        except Interrupted:
            pass
        finally:
            supervisor.stop()
    console.print("Stopped. The data is kept in", str(folder.path))


def down() -> None:
    """Stop what `up` runs here, also where its terminal is gone or it crashed."""
    folder = Folder(settings.data_folder())
    if not folder.lock.exists():
        console.print(f"`make up` was never run in {folder.path}; SALESCYCLE_DATA_DIR names another data folder")
        return
    _stop_everything(folder)


def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop everything and delete its data: embedded PostgreSQL, Kafka of `salescycle kafka`, keys, logs. Yours are left alone."""
    folder = Folder(settings.data_folder())
    if not folder.path.exists():
        console.print(f"There is nothing in {folder.path}")
        return
    if not yes and not typer.confirm(f"Delete all events, keys and logs in {folder.path}?"):
        raise typer.Exit(1)
    if kafka := [file.stem for file in folder.path.glob("kafka-[13]/*.pid") if LeftOver(file, "kafka.Kafka").pid()]:
        raise machine.CannotStart(
            f"Apache Kafka runs here ({', '.join(kafka)}): stop it first, its records are deleted too"
        )
    _stop_everything(folder)
    if folder.postgres.exists():
        EmbeddedPostgres(folder.postgres, 1).delete()
    folder.delete()
    console.print("Deleted")


# ---- starting


def _clear_the_way(folder: Folder, chosen: CliSettings, *, embedded_postgres: bool, embedded_broker: bool) -> None:
    """End what a run that crashed left, and find a busy port before anything is started. Raises machine.PortBusy."""
    for _name, program in _left_overs(folder):
        program.stop()
    if embedded_postgres and not EmbeddedPostgres(folder.postgres, chosen.up.postgres_port).running():
        machine.require_free_port("the embedded PostgreSQL", chosen.up.postgres_port, PORT_SETTING)
    if embedded_broker:
        machine.require_free_port("the embedded broker", chosen.up.broker_port, BROKER_PORT_SETTING)
    for name in SERVICES:
        for port, setting in _ports(name, getattr(chosen, name)).items():
            machine.require_free_port(name, port, setting)


def _ports(name: str, http: HttpSettings) -> dict[int, str]:
    """The ports of a service, each with the variable that chooses another."""
    variable = f"SALESCYCLE_{name.upper()}__"
    return {http.port: f"{variable}PORT", http.management_port: f"{variable}MANAGEMENT_PORT"}


def _left_overs(folder: Folder) -> list[tuple[str, LeftOver]]:
    """The programs that a run may have left when it crashed, in the order in which they stop."""
    services = [(name, LeftOver(folder.run / f"{name}.pid", f"services.{name}")) for name in reversed(SERVICES)]
    return [*services, ("broker", LeftOver(folder.broker / "broker.pid", "tansu"))]


def _start_servers(
    supervisor: Supervisor, folder: Folder, chosen: CliSettings, given_postgres: str | None, given_kafka: str | None
) -> dict[str, str]:
    """PostgreSQL, broker, schema, topics, key; returns the settings by which everything reaches them."""
    environment = {
        # Whatever was chosen for this run (ports, partitions, servers) holds for the commands of other terminals too.
        **{name: value for name, value in os.environ.items() if name.startswith("SALESCYCLE_")},
        "SALESCYCLE_DATA_DIR": str(folder.path),
        "SALESCYCLE_KEYS_FILE": str(chosen.keys_path.resolve()),
        "SALESCYCLE_PIPELINES_DIR": str(chosen.pipelines_dir.resolve()),
        "SALESCYCLE_TOPICS_FILE": str(chosen.topics_file.resolve()),
    }
    if given_postgres is None:
        server = EmbeddedPostgres(folder.postgres, chosen.up.postgres_port)
        with _step("PostgreSQL", f"127.0.0.1:{server.port}"):
            supervisor.start(server)
        if server.moved:
            console.print(
                f"  its data lies in {server.place}, because {server.user and server.user.name} cannot enter {folder.path}"
            )
        environment["SALESCYCLE_POSTGRES__URL"] = server.url()
    if given_kafka is None:
        broker = EmbeddedBroker(folder.broker, chosen.up.broker_port)
        with _step("Broker", f"{broker.bootstrap} (in memory)"):
            supervisor.start(broker)
        environment["SALESCYCLE_KAFKA__BOOTSTRAP"] = broker.bootstrap
        environment["SALESCYCLE_KAFKA__IDEMPOTENCE"] = os.environ.get("SALESCYCLE_KAFKA__IDEMPOTENCE", "false")
        environment["SALESCYCLE_KAFKA__RECREATE_TOPICS"] = os.environ.get("SALESCYCLE_KAFKA__RECREATE_TOPICS", "true")
    os.environ.update(environment)
    reached = settings.from_variables()
    with _step("Schema"):
        asyncio.run(migrate.migrate_all(reached))
    with _step("Topics"):
        asyncio.run(topics.apply_topics(reached, reached.topics_file))
    environment["SALESCYCLE_KEY"] = _key(folder, reached.keys_path)
    environment["SALESCYCLE_LIFECYCLE_URL"] = chosen.lifecycle.base_url
    environment["SALESCYCLE_PROJECTIONS_URL"] = chosen.projections.base_url
    os.environ.update(environment)
    write_environment(folder.environment, environment)
    return environment


def _start_services(
    supervisor: Supervisor, folder: Folder, chosen: CliSettings, environment: Mapping[str, str]
) -> None:
    for name in SERVICES:
        http = getattr(chosen, name)
        program = Program(
            name,
            [sys.executable, "-m", f"services.{name}"],
            folder=folder.run,
            log=folder.logs / f"{name}.log",
            environment={
                **os.environ,
                **environment,
                "PYTHONUNBUFFERED": "1",
                **{setting: str(port) for port, setting in _ports(name, http).items()},
            },
            ready_url=f"http://{http.host}:{http.management_port}/readyz",
            port_settings=_ports(name, http),
        )
        with _step(name.capitalize(), http.base_url):
            supervisor.start(program)


def _key(folder: Folder, keys: Path) -> str:
    """The key with every scope: the one of the last run where it still works, a new one otherwise."""
    if folder.key.exists():
        token = folder.key.read_text(encoding="ascii").strip()
        try:
            auth.KeyRing(keys).authorise(f"Bearer {token}", "ops:admin")
        except SalescycleError:
            pass
        else:
            return token
    token = auth.create_key(keys, auth.SCOPES, "made by `salescycle up`")
    write_private(folder.key, token + "\n")
    return token


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """Leave the settings where the command line finds them (mode 600: a password and a key are among them)."""
    lines = [f"{name}={' '.join(value.splitlines())}" for name, value in variables.items()]  # JSON may have many
    write_private(path, "\n".join(["# written by `salescycle up`, read by the other commands", *lines, ""]))


def _load_demo(environment: Mapping[str, str]) -> None:
    if os.environ.get("DEMO") == "0":
        return
    with _step("Demo"):
        loaded = demo.load(environment["SALESCYCLE_LIFECYCLE_URL"], environment["SALESCYCLE_KEY"])
    if loaded.stored:
        console.print(f"  {loaded.stored} events of {demo.LEADS} leads stored; DEMO=0 leaves them out")


def _show_what_to_try(folder: Folder, environment: Mapping[str, str]) -> None:
    lead = f"try-{secrets.token_hex(3)}"
    event = (
        f'{{"specversion":"1.0","id":"{lead}-1","source":"/me","type":"LeadCaptured","subject":"lead/{lead}",'
        f'"time":"{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}","data":{{"source_channel":"web","owner":"ana.b"}}}}'
    )
    console.print(
        f"""
Everything runs. Ctrl-C stops it; the data is kept in {folder.path}

Copy these lines into another terminal, for what follows and for the README:

{for_a_shell(folder.path, environment)}

Three things to try:

  curl -s $LIFECYCLE/v1/events -H "Authorization: Bearer $KEY" -H 'Content-Type: application/cloudevents+json' \\
    -d '{event}'

  curl -s $LIFECYCLE/v1/leads/{lead} -H "Authorization: Bearer $KEY"

  curl -s $PROJECTIONS/v1/pipeline -H "Authorization: Bearer $KEY"
""",
        markup=False,
    )


def for_a_shell(data: Path, environment: Mapping[str, str]) -> str:
    """Lines that set KEY, LIFECYCLE and PROJECTIONS, and put the command `salescycle` on the PATH."""
    lines = [
        f"KEY={environment['SALESCYCLE_KEY']}",
        f"LIFECYCLE={environment['SALESCYCLE_LIFECYCLE_URL']}",
        f"PROJECTIONS={environment['SALESCYCLE_PROJECTIONS_URL']}",
        f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
    ]
    if data != settings.ROOT / ".salescycle":  # which the commands find by themselves
        lines.append(f"export SALESCYCLE_DATA_DIR={shlex.quote(str(data))}")
    return "\n".join(f"  {line}" for line in lines)


# ---- stopping


def _stop_everything(folder: Folder) -> None:
    if (pid := folder.supervisor()) is not None:
        with _step("Stopping what runs here", f"process {pid}"):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 90
            while folder.supervisor() is not None:
                if time.monotonic() > deadline:
                    raise machine.CannotStart(f"process {pid} does not stop; its logs are in {folder.logs}")
                time.sleep(0.1)
    for name, program in _left_overs(folder):
        if program.pid() is not None:
            with _step(f"Stopping {name}, left by a run that crashed"):
                program.stop()
    if (folder.postgres / "password").exists():
        server = EmbeddedPostgres(folder.postgres, 1)
        if server.running():
            with _step("Stopping PostgreSQL, left by a run that crashed"):
                server.stop()
    console.print(f"Nothing runs now in {folder.path}")


@contextmanager
def _stop_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal ask the supervisor to stop; asked again, it goes on stopping."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _step(what: str, where: str = "") -> Iterator[None]:
    """Show that something goes on, then that it is done and how long it took."""
    began = time.monotonic()
    with console.status(f"{what} …"):
        try:
            yield
        except BaseException:
            console.print(f"[red]✗[/red] {what}")
            raise
    console.print(f"[green]✓[/green] {what:<12} {where} [dim]({time.monotonic() - began:.1f} s)[/dim]")


def _say(line: str) -> None:
    # The terminal may be gone, and rich leaves the program then: what runs must be stopped all the same.
    with suppress(OSError, SystemExit):
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {line}")
