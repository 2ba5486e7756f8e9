"""`/docs`: the OpenAPI document as a page that needs nothing from outside, no script and no build step."""

import html
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "code{background:#f2f2f2;padding:.1em .3em;border-radius:3px}h2{margin:2.2rem 0 .4rem;font-size:1.1rem}"
    "b.method{display:inline-block;min-width:4rem;color:#0b6}table{border-collapse:collapse;margin:.5rem 0}"
    "td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top;border-top:1px solid #ddd}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}code{background:#2a2a2a}td,th{border-color:#444}}"
)


def api_page(document: dict[str, Any]) -> str:
    """HTML for an OpenAPI 3.1 document: every operation with its parameters, bodies and answers."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        f"<title>{_text(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{_text(info['title'])}</h1><p>{_text(info.get('description', ''))}</p>",
        (
            "<p>Send a key: <code>Authorization: Bearer sc_…</code>. The whole document: <a href='openapi.json'>"
            "openapi.json</a>. What an error means: <a href='problems'>problems</a>.</p>"
        ),
    ]
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation))
    return "".join(parts) + "</html>"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    scopes = ", ".join(scope for needed in operation.get("security", []) for each in needed.values() for scope in each)
    parts = [
        f"<h2 id='{_text(operation.get('operationId', ''))}'><b class='method'>{method.upper()}</b> <code>{_text(path)}</code></h2>",
        f"<p>{_text(operation.get('summary', ''))}{f' Needs <code>{_text(scopes)}</code>.' if scopes else ' Public.'}</p>",
    ]
    rows = [
        f"<tr><td><code>{_text(each['name'])}</code><td>{_text(each['in'])}<td>{_text(each.get('description', ''))}</tr>"
        for each in operation.get("parameters", [])
    ]
    if rows:
        parts.append("<table><tr><th>parameter<th>in<th></tr>" + "".join(rows) + "</table>")
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append("<p>Body: " + ", ".join(f"<code>{_text(kind)}</code>" for kind in body) + "</p>")
    answers = [
        f"<tr><td>{_text(status)}<td>{_text(answer.get('description', ''))}</tr>"
        for status, answer in operation.get("responses", {}).items()
    ]
    parts.append("<table><tr><th>answer<th></tr>" + "".join(answers) + "</table>")
    return "".join(parts)


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
