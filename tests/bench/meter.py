"""What a measurement costs: events a second, latencies, cores used by each party, the most memory each process held.

Needs psutil only, because programs that drive peers run it in their own environment.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import psutil

PARTIES = "SALESCYCLE_BENCH_PARTIES"
"""Environment variable by which a task is told whom to watch: JSON, the party's name -> process ids."""
ANSWER = "measured: "


class Meter:
    """`with Meter() as meter:` around the measured stretch; afterwards `seconds`, `cores` by party, `peak_mb` by party.

    Cores of `client` are those of this process and its children; `foreign` is what processes of no party used meanwhile,
    `stolen` what a virtual machine was refused by its host.
    """

    def __init__(self) -> None:
        parties: Mapping[str, list[int]] = json.loads(os.environ.get(PARTIES, "{}"))
        self._pids: dict[str, list[int]] = {**parties, "client": [os.getpid()]}
        self.seconds = 0.0
        self.cores: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._before = {party: _used_s(pids) for party, pids in self._pids.items()}
        self._machine_before = machine_used_s()
        self._stolen_before = stolen_s()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        used = {party: _used_s(pids) - self._before[party] for party, pids in self._pids.items()}
        foreign = machine_used_s() - self._machine_before - sum(used.values())
        self.cores = {party: round(value / self.seconds, 2) for party, value in used.items()}
        self.cores["foreign"] = round(max(0.0, foreign) / self.seconds, 2)
        self.cores["stolen"] = round((stolen_s() - self._stolen_before) / self.seconds, 2)
        self.peak_mb = {party: round(max(map(peak_mb, pids)), 1) for party, pids in self._pids.items() if pids}

    def answer(self, count: int, latencies_s: list[float] | None = None, **more: Any) -> dict[str, Any]:
        """The measurement as JSON takes it: `rate` a second, `p50_ms`, `p99_ms`, cores and memory."""
        found = {
            "rate": count / self.seconds,
            "seconds": self.seconds,
            "cores": self.cores,
            "peak_mb": self.peak_mb,
            **more,
        }
        return found | quantiles_ms(latencies_s) if latencies_s else found


def quantiles_ms(latencies_s: list[float]) -> dict[str, float]:
    ordered = sorted(latencies_s)
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)
        for name, share in (("p50_ms", 0.50), ("p99_ms", 0.99))
    }


def machine_used_s() -> float:
    """Seconds that all cores together have worked so far, without waiting and without what the host took away."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0) + getattr(times, "softirq", 0.0))


def stolen_s() -> float:
    """Seconds that the host gave to other machines while one of our cores had work to do."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def foreign_cores(over_s: float = 0.5) -> float:
    """How many cores are busy now, while nothing of ours should be."""
    before = machine_used_s()
    time.sleep(over_s)
    return (machine_used_s() - before) / over_s


def peak_mb(pid: int) -> float:
    """The most memory the process has held so far, in MiB (what it holds now, where the system does not keep the peak)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except (OSError, psutil.Error):
        return 0.0


def _used_s(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            times = root.cpu_times()
            # children that have ended are counted by the system in their parent
            total += times.user + times.system + times.children_user + times.children_system
            for child in root.children(recursive=True):
                times = child.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            continue
    return total


def main(tasks: Mapping[str, Callable[..., Any]], run: Callable[[Any], dict[str, Any]]) -> None:
    """Run the task that the command line names with its parameters (JSON), and print what it measured."""
    measured = run(tasks[sys.argv[1]](**json.loads(sys.argv[2])))
    print(ANSWER + json.dumps(measured), flush=True)
