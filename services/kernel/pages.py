"""The pages behind the `type` of each problem: plain HTML that works offline and loads nothing."""

import html

from services.kernel.errors import SalescycleError
from services.kernel.problems import STATUS

_REMEDY = {
    "malformed-json": "Send one JSON document in UTF-8, as RFC 7493 (I-JSON) has it: no duplicate keys, no NaN, no U+0000.",
    "too-deep": "Nest arrays and objects at most 32 levels deep.",
    "too-complex": "Send fewer members in one document, or several requests.",
    "validation": "`errors` points to each place that breaks a rule. Nothing was stored; correct it and send it again.",
    "range-too-wide": "Ask for a shorter range, or for coarser steps.",
    "bad-cursor": "Cursors are opaque and belong to one query. Take `next_cursor` of the last answer, or start again without.",
    "idempotency-mismatch": "(source, id) names one event for ever. Send other content under a new id.",
    "version-conflict": "Read the stream again, decide again, and send with the version you saw.",
    "illegal-transition": "The answer names the state and the events that are normal next. Without `Prefer: "
    "handling=strict` the event is kept and marked.",
    "unauthenticated": "Send `Authorization: Bearer <key>`. `salescycle keys create` makes a key.",
    "forbidden": "Use a key with the scope that the detail names.",
    "not-found": "Check the address; the OpenAPI document at `/openapi.json` lists all.",
    "log-diverged": "The log was restored to an older state, or the reader belongs to another log. Do not go on by skipping: "
    "`salescycle doctor` says which, and a rebuild of the reader cures it.",
    "overloaded": "Wait for the seconds in `Retry-After`, then send the same again: it is stored once.",
    "unavailable": "Wait for the seconds in `Retry-After`, then send the same again: it is stored once.",
    "bad-request": "The request does not follow RFC 9112, or could be read in two ways.",
    "method-not-allowed": "`Allow` lists the methods of this address.",
    "not-acceptable": "The detail lists the formats that are offered.",
    "request-timeout": "Send the whole request without a pause. Nothing was stored.",
    "body-too-large": "The detail names the limit. Many events go as NDJSON, which has no limit but the line's.",
    "address-too-long": "Shorten the query.",
    "unsupported-media-type": "The detail lists the types that are read. Bodies are sent uncompressed.",
    "unsupported-charset": "Encode the body in UTF-8.",
    "headers-too-large": "Send fewer or shorter headers: at most 64 KiB and 128 of them.",
    "internal": "Sending the same event again is always safe. Quote the trace_id when reporting it.",
}
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
)


def problem_kinds() -> dict[str, type[SalescycleError]]:
    """Every problem type that a client can meet, by its code."""
    kinds: list[type[SalescycleError]] = [SalescycleError]
    for kind in STATUS:
        kinds += [kind, *kind.__subclasses__()]
    return {kind.code: kind for kind in kinds if kind.code in _REMEDY}


def problem_page(code: str) -> str | None:
    """The page of one problem type; None where there is no such type."""
    kind = problem_kinds().get(code)
    if kind is None:
        return None
    status = next((STATUS[above] for above in kind.__mro__ if above in STATUS), 500)
    return _page(
        kind.title,
        f"<p><code>{code}</code>, status {status}</p><h2>What to do</h2><p>{_code(_REMEDY[code])}</p>"
        "<p><a href='../problems'>All problem types</a></p>",
    )


def problem_index() -> str:
    """The page that lists all problem types."""
    rows = "".join(
        f"<li><a href='problems/{code}'><code>{code}</code></a> {html.escape(kind.title)}</li>"
        for code, kind in sorted(problem_kinds().items())
    )
    return _page("Problem types", f"<ul>{rows}</ul>")


def _page(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{body}</html>"
    )


def _code(text: str) -> str:
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
