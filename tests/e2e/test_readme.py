"""The README's session is true: its commands are run as they stand, and answer as they stand."""

import re
import subprocess

from tests.support.processes import ROOT, Processes


def session() -> list[tuple[str, str]]:
    """(command, output) of the console block; a command goes on while its quotes are open."""
    block = re.search(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    steps: list[tuple[str, str]] = []
    for part in block[1].split("\n$ "):
        lines = part.removeprefix("$ ").splitlines()
        end = next(n for n in range(1, len(lines) + 1) if "\n".join(lines[:n]).count("'") % 2 == 0)
        steps.append(("\n".join(lines[:end]), "\n".join(lines[end:]).strip()))
    return steps


def settled(output: str) -> str:
    """Without what differs from run to run: the clock."""
    return re.sub(r'"recorded_at":"[^"]+"', '"recorded_at":"…"', output.strip())


def test_the_session_of_the_readme_is_true(processes: Processes) -> None:
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    projections = processes.projections()
    steps = session()
    assert len(steps) == 4
    for command, expected in steps:
        shell = {
            **processes.environment,
            "LIFECYCLE": lifecycle.url,
            "PROJECTIONS": projections.url,
            "KEY": processes.key,
        }
        said = subprocess.run(
            ["bash", "-c", command], env=shell, capture_output=True, text=True, check=True, timeout=30
        ).stdout
        assert settled(said) == settled(expected), command
