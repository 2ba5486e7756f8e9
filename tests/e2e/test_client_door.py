"""What the kit's door does with each answer: what may be sent again is, byte for byte; what is refused never is."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from schemas.events.opportunity import LeadCaptured
from services.client import Door, KeyRefused, Known, NoAnswer, NotTheService, Outgoing, Refused, Stored, event
from tests.support.scripted_door import Reply, scripted_door

pytestmark = pytest.mark.timeout(30)


def sent(number: int = 1, lead: str = "L-1") -> Outgoing:
    body = LeadCaptured(source_channel="web")
    return event(body, f"lead/{lead}", source="/tests", id=f"e-{number}", time="2026-01-05T10:00:00Z")


def said(number: int = 1, **further: Any) -> dict[str, Any]:
    return {
        "id": f"e-{number}", "source": "/tests", "subject": "lead/L-1", "version": number, "partition": 9, "position": number,
        "recorded_at": "2026-01-05T10:00:01.000000Z", **further,
    }  # fmt: skip


def problem(status: int, code: str, **further: Any) -> dict[str, Any]:
    return {
        "type": f"/problems/{code}",
        "title": "T",
        "status": status,
        "detail": "D",
        "code": code,
        "trace_id": "t",
        **further,
    }


AWAY = problem(503, "unavailable")


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(None),
        Reply(500, {}),
        Reply(502, b"<html>"),
        Reply(503, AWAY),
        Reply(504, b""),
        Reply(429, {}),
        Reply(408, {}),
    ],
    ids=["cut", "500", "502", "503", "504", "429", "408"],
)
async def test_the_same_bytes_come_again_until_they_are_answered(trouble: Reply) -> None:
    with scripted_door(trouble, trouble, Reply(201, said(implied=["Qualified"], anomaly="early"))) as service:
        async with Door(service.url, "k") as door:
            answer = await door.append(sent())
    assert isinstance(answer, Stored)
    assert (answer.partition, answer.position, answer.implied, answer.anomaly) == (9, 1, ("Qualified",), "early")
    assert [body for _, body in service.requests] == [sent().line] * 3


async def test_a_try_that_takes_too_long_is_given_up_and_made_again() -> None:
    with scripted_door(Reply(201, said(), wait_s=20), Reply(200, said())) as service:
        async with Door(service.url, "k", request_timeout_s=0.3) as door:
            assert isinstance(await door.append(sent()), Known)
    assert [body for _, body in service.requests] == [sent().line] * 2


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for(status: int) -> None:
    with scripted_door(Reply(status, AWAY, {"Retry-After": "1"}), Reply(201, said())) as service:
        async with Door(service.url, "k") as door:
            began = time.monotonic()
            await door.append(sent())
    assert 1.0 <= time.monotonic() - began < 3


@pytest.mark.parametrize("status", [400, 409, 410, 412, 413, 415, 422])
async def test_a_refusal_is_final_and_says_why(status: int) -> None:
    flaws = [{"pointer": "/data/source_channel", "detail": "is missing"}]
    refusal = problem(status, "validation", errors=flaws, current_version=4)
    with scripted_door(Reply(status, refusal)) as service:
        async with Door(service.url, "k") as door:
            answer = await door.append(sent(), strict=True)
    assert isinstance(answer, Refused)
    assert (answer.status, answer.code, answer.trace_id, answer.extra) == (
        status,
        "validation",
        "t",
        {"current_version": 4},
    )
    assert [(flaw.pointer, flaw.detail) for flaw in answer.errors] == [("/data/source_channel", "is missing")]
    assert len(service.requests) == 1
    assert service.requests[0][0]["prefer"] == "handling=strict"


async def test_patience_ends_and_says_that_the_call_may_be_made_again() -> None:
    with scripted_door(Reply(503, AWAY)) as service:
        async with Door(service.url, "k", patience_s=0.7) as door:
            began = time.monotonic()
            with pytest.raises(NoAnswer, match=r"answers 503, for 1 s.*same call again"):
                await door.append(sent())
    assert time.monotonic() - began < 2
    assert len(service.requests) >= 2


async def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    with scripted_door(Reply(503, AWAY, {"Retry-After": "900"})) as service:
        async with Door(service.url, "k", patience_s=30) as door:
            began = time.monotonic()
            with pytest.raises(NoAnswer):
                await door.append(sent())
    assert time.monotonic() - began < 2


async def test_a_wrong_key_and_a_wrong_address_end_the_call() -> None:
    with scripted_door(Reply(403, problem(403, "forbidden")), Reply(404, b"nginx"), Reply(200, b"<html>")) as service:
        async with Door(service.url, "k") as door:
            with pytest.raises(KeyRefused, match="events:write"):
                await door.append(sent())
            with pytest.raises(NotTheService, match="address"):
                await door.append(sent())
            with pytest.raises(NotTheService, match="something else"):
                await door.append(sent())


async def test_an_item_that_could_not_be_decided_brings_the_whole_batch_again_and_what_was_stored_is_stored() -> None:
    first = [{**said(1), "status": 201}, {**AWAY, "status": 503}, problem(412, "version-conflict")]
    second = [{**said(1), "status": 200}, {**said(2), "status": 201}, {**said(3), "status": 201}]
    with scripted_door(Reply(200, first), Reply(200, second)) as service:
        async with Door(service.url, "k") as door:
            answers = await door.append_batch([sent(1), sent(2), sent(3)])
    assert [type(answer) for answer in answers] == [Stored, Stored, Stored]
    assert service.requests[0][1] == service.requests[1][1]


async def test_a_batch_that_breaks_a_limit_as_a_whole_is_halved_until_the_culprit_is_alone() -> None:
    too_large = Reply(413, problem(413, "body-too-large"))
    with scripted_door(too_large, Reply(200, [{**said(1), "status": 201}]), too_large) as service:
        async with Door(service.url, "k") as door:
            answers = await door.append_batch([sent(1), sent(2)])
    assert isinstance(answers[0], Stored)
    assert isinstance(answers[1], Refused)
    assert [body.count(b"specversion") for _, body in service.requests] == [2, 1, 1]


async def test_an_atomic_batch_is_never_taken_apart() -> None:
    with scripted_door(Reply(422, problem(422, "validation"))) as service:
        async with Door(service.url, "k") as door:
            answers = await door.append_batch([sent(1), sent(2)], atomic=True)
    assert [answer.code for answer in answers if isinstance(answer, Refused)] == ["validation"] * 2
    assert [headers["path"] for headers, _ in service.requests] == ["/v1/events?atomic=true"]


async def test_lines_whose_answer_ends_early_come_again() -> None:
    one, two = {**said(1), "status": 201}, {**said(2), "status": 200}
    whole = msgspec.json.encode(one) + b"\n" + msgspec.json.encode(two) + b"\n"
    with scripted_door(Reply(200, msgspec.json.encode(one) + b"\n"), Reply(200, whole)) as service:
        async with Door(service.url, "k") as door:
            answers = [answer async for answer in door.append_lines([sent(1), sent(2)])]
    assert [type(answer) for answer in answers] == [Stored, Known]
    assert service.requests[0][1] == service.requests[1][1] == sent(1).line + b"\n" + sent(2).line


async def test_no_more_requests_are_under_way_than_were_allowed() -> None:
    with scripted_door(Reply(201, said(), wait_s=5)) as service:
        async with Door(service.url, "k", at_once=3) as door:
            calls = [asyncio.create_task(door.append(sent(n))) for n in range(10)]
            await asyncio.sleep(0.5)
            assert len(service.requests) == 3
            service.released.set()
            await asyncio.gather(*calls)
    assert len(service.requests) == 10
