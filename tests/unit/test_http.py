"""What every FastAPI service answers: problems, strict queries, cursors, formats. The app is called without a socket."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services.kernel import errors, http_errors
from services.kernel.auth import undeclared_routes
from services.kernel.http import (
    Doors,
    Limit,
    csv_lines,
    decode_cursor,
    encode_cursor,
    install,
    negotiate,
    next_link,
    problem_responses,
    strict_query,
)
from services.kernel.http_listing import set_cursor_key
from services.kernel.http_request import decode_json, media_type, read_body
from services.kernel.pages import problem_kinds, problem_page
from services.kernel.problems import MEDIA_TYPE, STATUS, problem

BASE = "https://sales.example"
SECRET = "CANARY-91c2"


def paging(cursor: str | None = None, limit: Limit = 50) -> dict[str, Any]:
    return {"limit": limit, "from": decode_cursor(cursor) if cursor else None}


def build() -> FastAPI:
    app = FastAPI()
    install(app, base_url=BASE)

    @app.get("/leads", dependencies=[Depends(strict_query)], responses=problem_responses(400, 406))
    async def leads(
        request: Request,
        page: Annotated[dict[str, Any], Depends(paging)],
        owner: Annotated[str | None, Query()] = None,
        sort: Annotated[str, Query(pattern="^-?due_at$")] = "due_at",
    ) -> dict[str, Any]:
        return {**page, "owner": owner, "sort": sort, "link": next_link(request, encode_cursor(["L-1"]))}

    @app.get("/leads/{lead}", dependencies=[Depends(strict_query)])
    async def lead(lead: str) -> str:
        return lead

    @app.put("/leads/{lead}")
    async def put_lead(lead: str) -> str:
        return lead

    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError(SECRET)

    @app.get("/refuses")
    async def refuses() -> None:
        raise errors.IllegalTransition("Not from won.", state="won", normal_next=["Delivered"])

    @app.get("/busy")
    async def busy() -> None:
        raise errors.Overloaded("The queue is full.", retry_after_s=7)

    @app.get("/plain")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("x")

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope["headers"], receive, 10)
        raise errors.TooDeep("Too deep.") if scope["query_string"] == b"deep" else RuntimeError(SECRET)

    doors = Doors(build(), {("POST", "/door"): door})
    transport = httpx.ASGITransport(app=doors, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as opened:
        yield opened


async def expect(
    client: httpx.AsyncClient, path: str, status: int, code: str, method: str = "GET", **kwargs: Any
) -> Any:
    answer = await client.request(method, path, **kwargs)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    document = answer.json()
    assert {"type", "title", "status", "detail", "code", "trace_id", "instance"} <= document.keys()
    assert document["type"] == f"{BASE}/problems/{code}"
    assert (document["code"], document["status"]) == (code, status)
    assert SECRET not in answer.text
    return answer


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=-1", "/query/limit"),
        ("limit=0", "/query/limit"),
        ("limit=1000000000", "/query/limit"),
        ("limit=9223372036854775808", "/query/limit"),
        ("limit=" + "9" * 5_000, "/query/limit"),
        ("limit=x", "/query/limit"),
        ("limit=1_0", "/query/limit"),
        ("limit=%205", "/query/limit"),
        ("limit=1.0", "/query/limit"),
        ("sort=name", "/query/sort"),
        ("limit=1&limit=1", "/query/limit"),
        ("colour=red", "/query/colour"),
        ("owner=%00", "/query/owner"),
        ("owner=a%00b", "/query/owner"),
        ("owner=%ff", "/query/owner"),
        ("%ff=1", "/query"),
        ("%00=1", "/query"),
        ("=1", "/query"),
        ("a%20b=1", "/query"),
    ],
)
async def test_a_query_that_breaks_a_rule_is_422(client: httpx.AsyncClient, query: str, pointer: str) -> None:
    answer = await expect(client, f"/leads?{query}", 422, "validation")
    assert pointer in [flaw["pointer"] for flaw in answer.json()["errors"]]


async def test_a_query_may_hold_any_text(client: httpx.AsyncClient) -> None:
    for owner in ("' or 1=1--", "%", "_", "é+ &", "客戶"):
        answer = await client.get("/leads", params={"owner": owner, "limit": "500", "sort": "-due_at"})
        assert (answer.status_code, answer.json()["owner"]) == (200, owner)


async def test_a_path_that_is_no_text_is_422(client: httpx.AsyncClient) -> None:
    for path in ("/leads/%00", "/leads/a%ff"):
        await expect(client, path, 422, "validation")


@pytest.mark.parametrize("forged", ["x", "%C3%A9", "AAAA", "A" * 100, "A" * 5_000, "====", "e30"])
async def test_a_forged_cursor_is_400(client: httpx.AsyncClient, forged: str) -> None:
    await expect(client, f"/leads?cursor={forged}", 400, "bad-cursor")


async def test_a_cursor_of_ours_comes_back_and_one_with_a_bit_changed_does_not(client: httpx.AsyncClient) -> None:
    cursor = encode_cursor({"after": ["L-1", 7]})
    answer = await client.get("/leads", params={"cursor": cursor})
    assert answer.json()["from"] == {"after": ["L-1", 7]}
    for place in range(len(cursor) - 1):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        await expect(client, f"/leads?cursor={changed}", 400, "bad-cursor")


def test_a_cursor_signed_with_another_key_is_not_ours() -> None:
    set_cursor_key(b"0123456789abcdef")
    cursor = encode_cursor(1)
    set_cursor_key(b"fedcba9876543210")
    with pytest.raises(errors.BadCursor):
        decode_cursor(cursor)
    set_cursor_key(b"0123456789abcdef")
    assert decode_cursor(cursor) == 1


async def test_the_link_leads_to_the_next_page_of_the_same_query(client: httpx.AsyncClient) -> None:
    link = (await client.get("/leads?owner=a%20b&limit=2")).json()["link"]
    address, relation = link.split("; ")
    assert relation == 'rel="next"'
    following = await client.get(address.strip("<>"))
    assert (following.json()["owner"], following.json()["limit"], following.json()["from"]) == ("a b", 2, ["L-1"])


async def test_404_and_405_are_problems_and_405_allows_what_every_route_of_the_path_does(
    client: httpx.AsyncClient,
) -> None:
    await expect(client, "/nope", 404, "not-found")
    for path in ("//leads", "/leads/", "/leads//x"):
        await expect(client, path, 404, "not-found")
    for method in ("POST", "DELETE", "TRACE", "PATCH"):
        answer = await expect(client, "/leads/L-1", 405, "method-not-allowed", method)
        assert answer.headers["allow"] == "GET, PUT"


async def test_an_error_nobody_expected_says_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    await expect(client, "/breaks", 500, "internal")
    await expect(client, "/door", 500, "internal", "POST")


async def test_a_door_answers_with_problems_like_the_app_behind_it(client: httpx.AsyncClient) -> None:
    await expect(client, "/door?deep", 400, "too-deep", "POST", content=b"x")
    await expect(client, "/door", 413, "body-too-large", "POST", content=b"x" * 11)
    await expect(
        client, "/door", 415, "unsupported-media-type", "POST", content=b"x", headers={"content-encoding": "gzip"}
    )
    assert (await client.get("/plain")).text == "x"


async def test_members_of_an_error_stand_in_its_problem(client: httpx.AsyncClient) -> None:
    document = (await expect(client, "/refuses", 409, "illegal-transition")).json()
    assert (document["state"], document["normal_next"]) == ("won", ["Delivered"])
    assert (await expect(client, "/busy", 503, "overloaded")).headers["retry-after"] == "7"


async def test_a_trace_goes_on_in_the_problem(client: httpx.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await client.get("/nope", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["trace_id"] == trace
    answer = await client.get("/nope", headers={"traceparent": f"00-{SECRET}-00f067aa0ba902b7-01"})
    assert len(answer.json()["trace_id"]) == 32


async def test_every_problem_type_has_its_page_and_the_index_lists_it(client: httpx.AsyncClient) -> None:
    for kind in (*STATUS, *(sub for above in STATUS for sub in above.__subclasses__())):
        page = await client.get(f"/problems/{kind.code}")
        assert (page.status_code, kind.title in page.text) == (200, True)
    index = (await client.get("/problems")).text
    assert all(f"problems/{code}" in index for code in problem_kinds())
    await expect(client, "/problems/nope", 404, "not-found")
    assert "http://" not in (problem_page("validation") or "http://")


def test_pages_are_public_and_say_so() -> None:
    app = FastAPI()
    install(app, base_url=BASE)
    assert undeclared_routes(app) == []


def test_statuses_carry_the_headers_they_need() -> None:
    def headers(error: errors.SalescycleError) -> dict[bytes, bytes]:
        return dict(problem(error, BASE, "t")[1])

    assert headers(errors.Unauthenticated("No."))[b"www-authenticate"].startswith(b"Bearer")
    assert b"insufficient_scope" in headers(errors.Forbidden("No."))[b"www-authenticate"]
    assert headers(errors.Unavailable("No."))[b"retry-after"] == b"1"
    assert headers(http_errors.MethodNotAllowed("No.", allow=["GET", "PUT"]))[b"allow"] == b"GET, PUT"


def test_an_extra_member_cannot_replace_one_of_the_standard() -> None:
    assert b'"status":409' in problem(errors.IllegalTransition("x", status=200), BASE, "t")[2]


async def test_the_openapi_document_describes_problems_not_the_frameworks_own_errors(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in str(document)
    responses = document["paths"]["/leads"]["get"]["responses"]
    assert responses["422"]["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "406" in responses
    assert document["components"]["schemas"]["Problem"]["required"]


JSON, CSV, LINES = "application/json", "text/csv", "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("text/html, application/x-ndjson;q=0.9, */*;q=0.1", LINES),
        ("application/json;q=0.2, text/csv;q=0.3", CSV),
        ("*/*, application/json;q=0", CSV),
        ("TEXT/CSV", CSV),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str | None, chosen: str) -> None:
    assert negotiate(accept, (JSON, CSV, LINES)) == chosen


@pytest.mark.parametrize("accept", ["text/xml", "application/json;q=0", "text/html;q=x", "nonsense"])
def test_a_format_that_is_not_offered_is_406(accept: str) -> None:
    with pytest.raises(http_errors.NotAcceptable, match="text/csv"):
        negotiate(accept, (JSON, CSV))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (b"text/plain", http_errors.UnsupportedMediaType),
        (b"application/x-www-form-urlencoded", http_errors.UnsupportedMediaType),
        (None, http_errors.UnsupportedMediaType),
        (b"application/json; charset=utf-16", http_errors.UnsupportedCharset),
        (b"application/json; charset=latin1", http_errors.UnsupportedCharset),
    ],
)
def test_a_body_of_another_type_is_not_read(given: bytes | None, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        media_type(given, (JSON,))


def test_the_type_of_a_body_is_read_with_its_parameters() -> None:
    assert media_type(b'Application/JSON ; charset="UTF-8"', (JSON,)) == JSON


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_another_encoding_is_said_to_be_that(encoding: str) -> None:
    with pytest.raises(http_errors.UnsupportedCharset):
        decode_json('{"a":1}'.encode(encoding))


def test_cells_that_a_spreadsheet_would_run_are_quoted_and_numbers_stay() -> None:
    rows = [["=1+1", "+x", "-5.00", "@a", "\tb", "\rc", -3, None, 'say "hi", you', "a\nb", "-", "é"]]
    header, line = csv_lines([str(number) for number in range(12)], rows)
    assert header == b"0,1,2,3,4,5,6,7,8,9,10,11\r\n"
    assert line.decode() == '\'=1+1,\'+x,-5.00,\'@a,\'\tb,"\'\rc",-3,,"say ""hi"", you","a\nb",\'-,é\r\n'
