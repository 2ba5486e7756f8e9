"""`python -m tests.bench [row ...]`: measures, prints one table, writes build/bench.json. Asserts nothing about time.

What is compared runs in turns (A B A B), so that a machine that becomes slower is slower for all.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from services.cli import machine
from tests.bench.place import Place, Unmeasured
from tests.bench.report import Measured, Row, across, judge, number, print_goals, print_variants, summary
from tests.bench.rows import ROWS
from tests.support.processes import ROOT


def measure(place: Place, row: Row, rounds: int, console: Console) -> dict[str, Measured]:
    """Every variant once a round, in turns; a peer that cannot run is named and left out."""
    runs: dict[str, list[Measured]] = {variant.name: [] for variant in row.variants}
    missing: set[str] = set()
    for turn in range(1, rounds + 1):
        for variant in row.variants:
            if variant.name in missing:
                continue
            try:
                found = variant.run()
            except Unmeasured as reason:
                missing.add(variant.name)
                console.print(f"  [yellow]not measured[/]: {reason}")
                continue
            runs[variant.name].append(found)
            told = [f"{number(found['rate'])}/s"] if "rate" in found else []
            told += [f"p50 {found['p50_ms']} p99 {found['p99_ms']} ms"] if "p99_ms" in found else []
            console.print(f"  {row.name} {turn}/{rounds}  {variant.name}: {', '.join(told)}", highlight=False)
    return {name: summary(each) for name, each in runs.items() if each}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of: {', '.join(ROWS)}; none = all")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant; the median counts")
    parser.add_argument("--seconds", type=float, default=3.5, help="how long each run is measured")
    parser.add_argument(
        "--wait-quiet", type=float, default=20.0, help="seconds to wait for other programs before a run"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}")
    console = Console(width=None if os.isatty(1) else 170)
    report: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "load_before": os.getloadavg(),
        "rounds": asked.rounds, "seconds": asked.seconds, "rows": {},
    }  # fmt: skip
    console.print(
        f"{report['machine']}; load {report['load_before'][0]:.2f}. Clients, services and servers share these cores."
    )
    judged = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers of the bench go too
    try:
        with Place(asked.wait_quiet) as place:
            for name in asked.rows or ROWS:
                console.rule(name)
                with ROWS[name](place, asked.seconds) as row:
                    measured = measure(place, row, asked.rounds, console)
                print_variants(console, row.name, measured)
                found = [each for goal in row.goals if (each := judge(goal, measured)) is not None]
                judged += found
                report["rows"][name] = {"measured": measured, "goals": [each._asdict() for each in found]}
            together = across({name: row["measured"] for name, row in report["rows"].items()})
            judged += together
            report.update(noisy_runs=place.noisy, across=[each._asdict() for each in together])
    except machine.CannotStart as refused:
        raise SystemExit(str(refused)) from None
    report["load_after"] = os.getloadavg()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    print_goals(console, judged)
    console.print(
        f"load {report['load_before'][0]:.2f} before, {report['load_after'][0]:.2f} after; {report['noisy_runs']} runs began beside other programs; written to {asked.out}"
    )


if __name__ == "__main__":
    main()
