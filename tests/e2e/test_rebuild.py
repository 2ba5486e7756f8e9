"""A read model is built anew beside the one that serves, while events come in and people ask."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tests.support.compared import check_figures, pipeline
from tests.support.posted_leads import Traffic, expected
from tests.support.processes import ROOT, Processes, ServiceProcess

LEADS = 6_000


@contextmanager
def asked_all_the_time(projections: ServiceProcess, processes: Processes) -> Iterator[list[int]]:
    """The total number of leads of every answer that someone got who never stopped asking."""
    answers: list[int] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            answers.append(sum(n for n, _ in pipeline(projections, processes).values()))
            time.sleep(0.02)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield answers
    finally:
        enough.set()
        asking.join(20)


async def half_built(database: str) -> int:
    """The number of a generation that is being built and has applied something."""
    connection = await asyncpg.connect(database, server_settings={"search_path": "projections"})
    try:
        async with asyncio.timeout(60):
            while True:
                number: int | None = await connection.fetchval(
                    "SELECT generation FROM generation JOIN checkpoint USING (model, generation) "
                    "WHERE state = 'building' AND position > 0 LIMIT 1"
                )
                if number is not None:
                    return number
                await asyncio.sleep(0.005)
    finally:
        await connection.close()


async def test_a_rebuild_that_is_killed_goes_on_and_is_swapped_in_while_no_answer_shows_less(
    processes: Processes, database: str
) -> None:
    processes.salescycle("migrate")
    lifecycle = processes.lifecycle()
    projections = processes.projections()
    await asyncio.to_thread(Traffic([lifecycle], processes.headers, LEADS, seconds=0).run)
    check_figures(projections, processes, expected(LEADS))

    with asked_all_the_time(projections, processes) as answers:
        killed = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "rebuild", "pipeline"],
            cwd=ROOT, env=processes.environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        building = await half_built(database)
        killed.kill()
        killed.wait()
        more = Traffic([lifecycle], processes.headers, LEADS + 600, seconds=10)  # all again, and 600 that are new
        loading = asyncio.create_task(asyncio.to_thread(more.run))
        said = await asyncio.to_thread(processes.salescycle, "rebuild", "pipeline")
        assert f"Generation {building} of pipeline is live" in said.stdout, "it goes on with what was left unfinished"
        await loading
        check_figures(projections, processes, expected(LEADS + 600))
        said = await asyncio.to_thread(processes.salescycle, "rebuild", "pipeline", "--roll-back")
        assert "Generation 1 of pipeline is live" in said.stdout
        check_figures(projections, processes, expected(LEADS + 600))
    assert len(answers) > 50
    assert answers == sorted(answers), "an answer went backwards"
    assert "No difference" in processes.salescycle("verify").stdout
