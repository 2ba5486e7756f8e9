"""`/schemas`: the list for programs, the catalogue for people, each schema where its `$id` says; all without a key."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import jsonschema_rs
import pytest

from schemas.events import EVENTS
from schemas.publication.json_schemas import schema_documents
from schemas.upcast import versions
from services.kernel.auth import KeyRing
from services.kernel.placements import Placements
from services.lifecycle.api import lifecycle
from services.lifecycle.catalogue_page import type_words

BASE = "https://sales.example"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


DOORS = lifecycle(Placements([], 24), {}, KeyRing(Path("no-keys")), BASE)
"""All of lifecycle, without a store: what is public here needs none."""


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=DOORS), base_url=BASE) as client:
        yield client


async def test_the_list_names_every_type_and_version(client: httpx.AsyncClient) -> None:
    answer = await client.get("/schemas")
    assert answer.headers["content-type"] == "application/json"
    listed = answer.json()["types"]
    assert [(each["type"], each["version"]) for each in listed] == [(name, version) for name, version, _ in versions()]
    assert listed[0] == {
        "type": "ContactListed", "version": 1, "streams": ["lead"], "schema": f"{BASE}/schemas/ContactListed/1",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "version"), [(name, version) for name, version, _ in versions()])
async def test_each_schema_is_served_where_its_id_says(client: httpx.AsyncClient, name: str, version: int) -> None:
    answer = await client.get(f"/schemas/{name}/{version}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json() == schema_documents()[f"{name}.{version}"]
    assert answer.json()["$id"] == answer.request.url.path
    jsonschema_rs.Draft202012Validator(answer.json())


@pytest.mark.parametrize("path", ["/schemas/Won/2", "/schemas/Wonn/1", "/schemas/won/1"])
async def test_a_schema_that_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


async def test_asyncapi_is_that_of_this_log(client: httpx.AsyncClient) -> None:
    document = (await client.get("/asyncapi.json")).json()
    assert document["asyncapi"] == "3.0.0"
    assert document["channels"]["lifecycleEvents"]["bindings"]["kafka"]["partitions"] == 24


async def test_another_format_is_not_acceptable(client: httpx.AsyncClient) -> None:
    assert (await client.get("/schemas", headers={"Accept": "image/png"})).status_code == 406


class Page(HTMLParser):
    """What a page holds: the ids of its elements, its links, and whatever it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        self.loads += [given[name] for name in ("src", "srcset", "action", "poster") if name in given]
        if tag == "link":
            self.loads.append(given["href"])
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
async def page(client: httpx.AsyncClient) -> Page:
    answer = await client.get("/schemas", headers=BROWSER)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["vary"] == "Accept"
    parsed = Page(answer.text)
    assert not parsed.open
    return parsed


async def test_the_catalogue_shows_every_type_with_every_field(client: httpx.AsyncClient, page: Page) -> None:
    text = (await client.get("/schemas", headers=BROWSER)).text
    for name in EVENTS:
        assert name in page.ids
    for key, schema in schema_documents().items():
        name, _, version = key.rpartition(".")
        assert f"schemas/{name}/{version}" in page.links
        article = text[text.index(f"<article id='{name}'") :].partition("</article>")[0]
        for field in schema["properties"]:
            assert f"<code>{field}</code>" in article, key
        assert article.count("<figure>") == EVENTS[name].version


async def test_the_catalogue_loads_nothing(client: httpx.AsyncClient, page: Page) -> None:
    text = (await client.get("/schemas", headers=BROWSER)).text
    assert page.loads == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "://" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)


async def test_every_link_of_the_catalogue_leads_somewhere(client: httpx.AsyncClient, page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    for link in dict.fromkeys(page.links):
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (await client.get(f"/{link}")).status_code == 200, link


async def test_person_data_is_marked_in_the_catalogue(client: httpx.AsyncClient) -> None:
    text = (await client.get("/schemas", headers=BROWSER)).text
    article = text[text.index("<article id='PersonUpdated'") :].partition("</article>")[0]
    assert article.count("class='pii'") == 4


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 100}, "whole number, 0 to 100"),
        ({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "whole number, 0 or more"),
        ({"type": "string", "format": "date"}, "day, <code>YYYY-MM-DD</code>"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Contract"}}, "list of <a href='#type-Contract'>Contract</a>"),
        ({"enum": ["yes", "<no>"]}, "one of <code>yes</code>, <code>&lt;no&gt;</code>"),
        ({"type": "string", "pattern": "^[A-Z]{3}$", "maxLength": 3}, "text, at most 3 characters, <code>^[A-Z]{3}$</code>"),
    ],
)  # fmt: skip
def test_a_field_says_its_kind_and_limits_in_words(part: dict[str, object], words: str) -> None:
    assert type_words(part) == words
