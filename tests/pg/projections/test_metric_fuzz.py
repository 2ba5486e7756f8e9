"""No question on any metric breaks the service: it is answered, or refused with a reason."""

import random
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from services.projections.metrics import METRICS
from services.projections.query.metric import Metric
from services.projections.query.question import parameters_of
from tests.pg.projections.test_pipeline_query import Service, service  # noqa: F401

QUESTIONS = 25
NASTY = (
    "", " ", "\x00", "a\x00b", "'; DROP TABLE outcome; --", "%", "\\", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "9" * 400, "-1", "1e309", "NaN", "null", "true", "2025-03-01", "2025-03-02T00:00:00Z", "1900-01-01", "2199-12-31",
    "1899-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", "2025-02-29", "Europe/Berlin", "Etc/GMT+12", "Pacific/Kiritimati",
    "../../etc/passwd", "EUR", "JPY", "XAU", "eur", "owner,team", "owner,owner", "day", "week", "year", "current", "won", "1", "12",
    "0:1", "0:999999999999999999", "AAAA", "x" * 5_000, "\u202e", "team", "ana", "six-phase", "last", "linear", "false",
)  # fmt: skip


def question(metric: Metric, chance: random.Random) -> list[tuple[str, str]]:
    """Some parameters of the metric, most of them with a value that its kind may have, others with any."""
    sensible: dict[str, Callable[[], str]] = {
        "as_of": lambda: chance.choice(("2025-03-02", "1950-01-01", "2100-01-01", "2025-03-01T10:00:00.000001Z")),
        "known_at": lambda: chance.choice(("2025-03-02", "1950-01-01", "2100-01-01")),
        "from": lambda: chance.choice(("2025-01-01", "2025-03-01", "1900-01-02", "2150-01-01")),
        "to": lambda: chance.choice(("2025-03-02", "2025-04-01", "2199-01-01", "2025-01-01")),
        "zone": lambda: chance.choice(("Asia/Tokyo", "America/St_Johns", "UTC")),
        "group_by": lambda: ",".join(chance.sample(metric.dimensions, min(2, len(metric.dimensions)))),
        "dims": lambda: "current",
        "currency": lambda: chance.choice(("EUR", "USD", "JPY")),
        "timeout": lambda: "0",
        "min_position": lambda: "0:1",
    }
    parameters = {each.name: each for each in parameters_of(metric)}
    names = chance.sample(sorted(parameters), chance.randint(0, min(6, len(parameters))))
    asked = []
    for name in names:
        choices = parameters[name].choices
        if chance.random() < 0.75 and (name in sensible or choices):
            asked.append((name, chance.choice(choices) if choices else sensible[name]()))
        elif name != "min_position":  # which waits
            asked.append((name, chance.choice(NASTY)))
    if chance.random() < 0.05:
        asked.append(("nonsense", "1"))
    return asked


@pytest.mark.timeout(300)  # some thirteen hundred questions
async def test_any_question_is_answered_or_refused_with_a_reason(service: Service) -> None:  # noqa: F811
    for name in sorted(METRICS):
        chance = random.Random(name)
        answered = 0
        for number in range(QUESTIONS):
            query = urlencode(question(METRICS[name], chance))
            accept = chance.choice(("application/json", "text/csv", "application/x-ndjson"))
            answer = await service.client.get(
                f"/v1/metrics/{name}?{query}", headers={"authorization": f"Bearer {service.key}", "accept": accept}
            )
            if answer.status_code == 200:
                answered += 1
                continue
            assert answer.status_code in (400, 422), (name, number, query, answer.text)
            problem = answer.json()
            assert problem.get("errors") or problem.get("detail"), (name, query, problem)
        assert answered > QUESTIONS // 20, name


async def test_before_anything_was_known_the_answer_is_empty_and_says_why(service: Service) -> None:  # noqa: F811
    for name in METRICS:
        answer = await service.client.get(
            f"/v1/metrics/{name}?known_at=1950-01-01", headers={"authorization": f"Bearer {service.key}"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"] == [], name
        assert "Nothing that matches was known at that instant." in answer.json()["notes"], name
