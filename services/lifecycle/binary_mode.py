"""Binary mode at the door: attributes as `ce-*` headers, the content-type is that of the data, the body is the data.

An `application/json` request is in binary mode where it carries `ce-specversion` or `ce-type`; without both it is a
structured event under a plain name. Structured content types are structured whatever headers stand beside them.
"""

from typing import Any

from schemas import bindings, ijson
from services.kernel.errors import Flaw, Invalid
from services.kernel.http_request import RawHeaders, refused

_TELLING = frozenset({b"ce-specversion", b"ce-type"})


def is_binary(headers: RawHeaders) -> bool:
    """Whether a request with content-type `application/json` is in binary mode."""
    return any(name in _TELLING for name, _ in headers)


def document_of(headers: RawHeaders, raw: bytes) -> dict[str, Any]:
    """The structured form of a binary request, not judged yet: pointers of later flaws point into it (`/id`, `/data/…`).

    Raises:
        Malformed, TooDeep, TooComplex, UnsupportedCharset: the body.
        Invalid: a header that cannot be read; its pointer is `/header/ce-<name>`.
    """
    try:
        # published as structured events, the data lies one level deeper
        data = ijson.decode(raw, max_depth=ijson.MAX_DEPTH - 1)
    except ijson.Refused as refusal:
        raise refused(raw, refusal) from None
    try:
        return bindings.binary_http(headers, data)
    except bindings.NotACloudEvent as flaw:
        pointer = f"/header/{flaw.header}" if flaw.header and len(flaw.header) <= 64 else "/header"
        raise Invalid("A header of the event cannot be read.", errors=[Flaw(pointer, f"{flaw.detail}.")]) from None
