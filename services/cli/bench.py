"""`salescycle bench`: measures this checkout on this machine, each figure beside its limit."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.machine import CannotStart

_CHECKOUT = Path(__file__).parents[2]


def bench(
    rows: Annotated[list[str] | None, typer.Argument(help="Which rows; none = all. See docs/benchmarks.md.")] = None,
    rounds: Annotated[int, typer.Option(help="Runs of each variant; the median counts.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="How long each run is measured.", min=0.5)] = 3.5,
) -> None:
    """Measure, each figure beside its limit and its peers in the same run. Takes about 15 minutes; needs a checkout."""
    if not (_CHECKOUT / "tests" / "bench").is_dir():
        raise CannotStart("The benchmarks lie in tests/bench of a checkout; this is an installed package")
    command = [sys.executable, "-m", "tests.bench", *(rows or []), f"--rounds={rounds}", f"--seconds={seconds}"]
    raise typer.Exit(subprocess.run(command, cwd=_CHECKOUT, check=False).returncode)
