"""A read model is built anew beside the one that serves, while events come in and people ask."""

import subprocess
import sys
import threading
import time

from tests.support.checkers import check_figures, pipeline
from tests.support.processes import ROOT, Processes
from tests.support.traffic import Traffic, expected

LEADS = 2_000


def test_queries_never_see_less_while_a_rebuild_is_killed_goes_on_and_is_swapped_in(processes: Processes) -> None:
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    projections = processes.projections()
    Traffic([lifecycle], processes.headers, LEADS, seconds=0).run()
    check_figures(projections, processes, expected(LEADS))

    more = Traffic([lifecycle], processes.headers, LEADS + 600, seconds=20)  # the first 2,000 again, then 600 new ones
    loading = threading.Thread(target=more.run)
    asking, answers = threading.Event(), []

    def ask() -> None:
        while not asking.is_set():
            answers.append(sum(n for n, _ in pipeline(projections, processes).values()))
            time.sleep(0.02)

    watching = threading.Thread(target=ask)
    loading.start()
    watching.start()
    interrupted = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "rebuild", "pipeline"],
        cwd=ROOT,
        env=processes.environment,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(3)
    interrupted.kill()
    interrupted.wait()
    said = processes.salescycle("rebuild", "pipeline").stdout
    assert "Generation 2 of pipeline is live" in said
    loading.join()
    check_figures(projections, processes, expected(LEADS + 600))
    said = processes.salescycle("rebuild", "pipeline", "--roll-back").stdout
    assert "Generation 1 of pipeline is live" in said
    check_figures(projections, processes, expected(LEADS + 600))
    asking.set()
    watching.join()
    assert len(answers) > 100
    assert answers == sorted(answers), "an answer went backwards"
    assert "No difference" in processes.salescycle("verify").stdout
