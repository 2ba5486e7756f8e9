"""Apache Kafka without Docker: fetched from Maven Central by the pinned pom, run in KRaft mode on loopback.

It needs Java 17 and, once, Maven. One broker takes about 350 MB; three brokers make a cluster of replication factor 3.
"""

import asyncio
import base64
import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Final

import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from rich.console import Console

from services.cli import machine, settings
from services.cli.supervisor import Program, log_end

FIRST_PORT: Final = 7092
READY_WITHIN_S: Final = 90.0
SESSION_TIMEOUT_MS: Final = 3_000
"""How long a broker that was killed counts as alive: it cannot come back earlier. Kafka's own default is 9 s."""

_LOGGING: Final = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""

console = Console(highlight=False, soft_wrap=True)


def fetch(pom: Path = settings.ROOT / "deploy" / "kafka" / "pom.xml") -> Path:
    """The folder of Kafka's jars, fetched by Maven where they are not there yet for this pom.

    Raises machine.CannotStart where Java or Maven is missing, or Maven fails.
    """
    if shutil.which("java") is None:
        raise machine.CannotStart("Apache Kafka needs Java 17 or newer, and there is no `java` here")
    library = pom.parent / "lib"
    complete = library / f".complete-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if complete.exists():
        return library
    if shutil.which("mvn") is None:
        raise machine.CannotStart("Maven fetches Apache Kafka, and there is no `mvn` here")
    shutil.rmtree(library, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={library}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise machine.CannotStart(f"Maven could not fetch Apache Kafka:\n{done.stdout[-2000:]}{done.stderr[-1000:]}")
    complete.touch()
    return library


class ApacheKafka:
    """A cluster of `brokers` nodes (1 or 3), each broker and controller at once, with its data below `folder`.

    Data survives `kill9` and `stop`; start again on the same folder and ports. Every method blocks.
    """

    def __init__(self, folder: Path, *, brokers: int = 1, ports: Sequence[int] | None = None) -> None:
        """`ports`: first those of the brokers, then those of the controllers; free ones by default."""
        self.folder = folder
        self.ports = list(ports) if ports else [machine.free_port() for _ in range(2 * brokers)]
        assert len(self.ports) == 2 * brokers
        self.brokers = brokers
        self.nodes: list[Program] = []

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[: self.brokers])

    @property
    def replication_factor(self) -> int:
        return self.brokers

    @property
    def min_insync_replicas(self) -> int:
        return min(2, self.brokers)

    def start(self) -> None:
        """Fetch, format and start what does not run, and wait until every broker is in the cluster.

        Raises machine.CannotStart.
        """
        library = fetch()
        if not self.nodes:
            self._lay_out(library)
        for node in self.nodes:
            node.start()
        self._wait_until_in_cluster(self.brokers)

    def kill9(self, index: int = 0) -> None:
        """SIGKILL to one broker; nothing acknowledged by all in-sync replicas is lost."""
        process = self.nodes[index].process
        if process is not None:
            process.kill()
            process.wait()

    def restart(self, index: int = 0) -> None:
        """Start a broker that was killed, and wait until all are in the cluster again."""
        self.nodes[index].start()
        self._wait_until_in_cluster(self.brokers)

    def running(self) -> int:
        """How many of the brokers run."""
        return sum(node.running() for node in self.nodes)

    def stop(self) -> None:
        """Ask all at once (the last of a quorum cannot stop by itself in order), and insist after ten seconds."""
        for node in self.nodes:
            if node.process is not None and node.running():
                node.process.terminate()
        deadline = time.monotonic() + 10
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.05)
        for node in self.nodes:
            node.stop_within_s = 0.1
            node.stop()

    def _lay_out(self, library: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        identity = self.folder / "cluster.id"
        if not identity.exists():
            # A leading hyphen would be read as an option.
            identity.write_text(
                "s" + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22], encoding="ascii"
            )
        java = ["java", "-cp", f"{library}/*", f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"]
        memory = "-Xmx512m" if self.brokers == 1 else "-Xmx384m"
        formats = []
        for index in range(self.brokers):
            properties = self.folder / f"broker-{index + 1}.properties"
            properties.write_text("".join(f"{line}\n" for line in self._settings(index)), encoding="utf-8")
            formats.append([
                *java, "-Xmx128m", "kafka.tools.StorageTool", "format", "--ignore-formatted",
                "-t", identity.read_text(encoding="ascii"), "-c", str(properties),
            ])  # fmt: skip
            port_settings = dict.fromkeys(
                (self.ports[index], self.ports[self.brokers + index]), "salescycle kafka --port"
            )
            self.nodes.append(
                Program(
                    f"kafka-{index + 1}",
                    [*java, memory, "-Xms128m", "-XX:+UseSerialGC", "kafka.Kafka", str(properties)],
                    folder=self.folder, log=self.folder / f"broker-{index + 1}.log", environment=os.environ,
                    port_settings=port_settings, stop_within_s=10.0,
                )
            )  # fmt: skip
        with ThreadPoolExecutor(2) as pool:
            for done in pool.map(_run, formats):
                if done.returncode != 0:
                    raise machine.CannotStart(
                        f"Kafka could not format its storage:\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
                    )

    def _settings(self, index: int) -> list[str]:
        voters = ",".join(f"{n + 1}@127.0.0.1:{self.ports[self.brokers + n]}" for n in range(self.brokers))
        return [
            "process.roles=broker,controller",
            f"node.id={index + 1}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.ports[index]},CONTROLLER://127.0.0.1:{self.ports[self.brokers + index]}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.ports[index]}",
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            f"controller.quorum.voters={voters}",
            f"log.dirs={self.folder / f'data-{index + 1}'}",
            f"broker.session.timeout.ms={SESSION_TIMEOUT_MS}",
            "broker.heartbeat.interval.ms=500",
            "group.initial.rebalance.delay.ms=0",
            "auto.create.topics.enable=false",
            "unclean.leader.election.enable=false",
            "num.network.threads=2",
            "num.io.threads=4",
            "offsets.topic.num.partitions=8",
            "transaction.state.log.num.partitions=8",
            f"offsets.topic.replication.factor={self.replication_factor}",
            f"transaction.state.log.replication.factor={self.replication_factor}",
            f"transaction.state.log.min.isr={self.min_insync_replicas}",
            f"share.coordinator.state.topic.replication.factor={self.replication_factor}",
            f"share.coordinator.state.topic.min.isr={self.min_insync_replicas}",
            f"default.replication.factor={self.replication_factor}",
        ]

    def _wait_until_in_cluster(self, brokers: int) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        # The others go on listing a killed broker until its session ends, so each must also accept.
        while not all(map(machine.accepts, self.ports[:brokers])) or _brokers_in_cluster(self.bootstrap) < brokers:
            ended = next((node for node in self.nodes if not node.running()), None)
            if ended is not None and self.running() < brokers:
                raise machine.CannotStart(f"{ended.name} ended while it started. {log_end(ended)}")
            if time.monotonic() > deadline:
                raise machine.CannotStart(
                    f"Kafka was not ready within {READY_WITHIN_S:.0f} s. {log_end(self.nodes[0])}"
                )
            time.sleep(0.1)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _brokers_in_cluster(bootstrap: str) -> int:
    """How many brokers the cluster says it has; 0 while none answers."""
    # In a thread of its own, because the caller may stand in an event loop that runs already.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _count_brokers(bootstrap)).result()


async def _count_brokers(bootstrap: str) -> int:
    if not any(machine.accepts(int(server.rpartition(":")[2])) for server in bootstrap.split(",")):
        return 0  # aiokafka would log an error for each address that does not accept yet
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3_000)
    try:
        await admin.start()
        cluster: dict[str, Any] = await admin.describe_cluster()
    except (KafkaError, OSError, TimeoutError):
        return 0
    else:
        return len(cluster["brokers"])
    finally:
        await admin.close()


def kafka(
    brokers: Annotated[int, typer.Option(help="1, or 3 for replication factor 3.")] = 1,
    port: Annotated[int, typer.Option(help="Of the first broker; the others and the controllers follow.")] = FIRST_PORT,
) -> None:
    """Fetch Apache Kafka by Maven and run it on loopback, in KRaft mode. Ctrl-C stops it; its data is kept."""
    if brokers not in {1, 3}:
        raise typer.BadParameter("1 or 3", param_hint="--brokers")
    folder = settings.data_folder() / f"kafka-{brokers}"
    cluster = ApacheKafka(folder, brokers=brokers, ports=range(port, port + 2 * brokers))
    with console.status("Fetching Apache Kafka by Maven (once, 44 MB) …"):
        fetch()
    stopping = Event()
    try:
        with console.status(f"Starting {brokers} broker{'s' if brokers > 1 else ''} …"):
            cluster.start()
        console.print(f"Apache Kafka runs on {cluster.bootstrap}; its data is in {folder}. Ctrl-C stops it.\n")
        console.print(_use(cluster), markup=False)
        while not stopping.wait(0.5):
            if cluster.running() < brokers:
                ended = next(node for node in cluster.nodes if not node.running())
                raise machine.CannotStart(f"{ended.name} ended. {log_end(ended)}")
    except KeyboardInterrupt:
        console.print("\nStopping …")
    finally:
        cluster.stop()


def _use(cluster: ApacheKafka) -> str:
    variables = f"SALESCYCLE_KAFKA__BOOTSTRAP={cluster.bootstrap}"
    if cluster.brokers > 1:
        variables += (
            f" SALESCYCLE_KAFKA__REPLICATION_FACTOR={cluster.replication_factor}"
            f" SALESCYCLE_KAFKA__MIN_INSYNC_REPLICAS={cluster.min_insync_replicas}"
        )
    return f"To use it, in another terminal:\n\n  {variables} make up\n"
