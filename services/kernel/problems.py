"""Problem details (RFC 9457): the only place that turns an error into a status, and into what the client may read of it.

`problem` is pure, for plain ASGI endpoints and for the handlers of FastAPI alike. Nothing of an error that is not of our
own tree reaches the client.
"""

from typing import Any

import msgspec

from services.kernel import errors, http_errors
from services.kernel.errors import SalescycleError

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[SalescycleError], int] = {
    errors.Malformed: 400,
    errors.Invalid: 422,
    errors.RangeTooWide: 422,
    errors.BadCursor: 400,
    errors.IdempotencyMismatch: 422,
    errors.VersionConflict: 412,
    errors.IllegalTransition: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.LogDiverged: 409,
    errors.Overloaded: 503,
    errors.Unavailable: 503,
    http_errors.BadRequest: 400,
    http_errors.MethodNotAllowed: 405,
    http_errors.NotAcceptable: 406,
    http_errors.RequestTimeout: 408,
    http_errors.BodyTooLarge: 413,
    http_errors.AddressTooLong: 414,
    http_errors.UnsupportedMediaType: 415,
    http_errors.HeadersTooLarge: 431,
}
"""Status of a class and of its subclasses; every other error is a 500 without particulars."""

Headers = list[tuple[bytes, bytes]]

_encode = msgspec.json.Encoder().encode


def status_of(error: BaseException) -> int:
    for kind in type(error).__mro__:
        status = STATUS.get(kind)
        if status is not None:
            return status
    return 500


def problem_members(error: BaseException, base_url: str, trace_id: str, instance: str | None = None) -> dict[str, Any]:
    """The members of the problem document; also for one line of a batch answer, which needs no headers."""
    status = status_of(error)
    if status == 500 or not isinstance(error, SalescycleError):
        error = SalescycleError(
            "Nothing is known to be stored. Sending the same event again is safe; quote the trace_id."
        )
    members: dict[str, Any] = {
        "type": f"{base_url}/problems/{error.code}",
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "trace_id": trace_id,
    }
    if instance is not None:
        members["instance"] = instance
    if error.errors:
        members["errors"] = [{"pointer": flaw[0], "detail": flaw[1]} for flaw in error.errors]
    return {**error.extra, **members} if error.extra else members


def problem(
    error: BaseException, base_url: str, trace_id: str, instance: str | None = None
) -> tuple[int, Headers, bytes]:
    """(status, headers, body) of the answer to a request that failed with `error`.

    `instance` is the path of the request. Headers hold content-type and content-length, and what the status asks for:
    Allow, Retry-After, WWW-Authenticate.
    """
    members = problem_members(error, base_url, trace_id, instance)
    body = _encode(members)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if isinstance(error, errors.Unauthenticated):
        headers.append((b"www-authenticate", b'Bearer realm="salescycle"'))
    elif isinstance(error, errors.Forbidden):
        headers.append((b"www-authenticate", b'Bearer realm="salescycle", error="insufficient_scope"'))
    elif isinstance(error, http_errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    elif members["status"] == 503:
        headers.append((b"retry-after", b"%d" % getattr(error, "retry_after_s", 1)))
    return members["status"], headers, body


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "The page that explains this kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What went wrong this time. Never echoes a value."},
        "instance": {"type": "string", "description": "Path of the request."},
        "code": {"type": "string", "description": "The last part of `type`; branch on this."},
        "trace_id": {"type": "string", "description": "Quote it when asking for help."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901 pointer into the document sent."},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "trace_id"],
    "additionalProperties": True,
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may fail with these statuses, for its OpenAPI document."""
    return {
        status: {
            "description": "; ".join(kind.title for kind, of_kind in STATUS.items() if of_kind == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
