"""Refusals that only HTTP knows: the wrong media type, method, size or pace. They belong to the tree of `errors`."""

from services.kernel.errors import Invalid, SalescycleError


class BadRequest(SalescycleError):
    """The bytes on the connection are no HTTP request that has one meaning (RFC 9112)."""

    code = "bad-request"
    title = "This is not a valid HTTP request"


class MethodNotAllowed(SalescycleError):
    """`allow` lists every method of the path, for the header of that name."""

    code = "method-not-allowed"
    title = "The address does not know this method"

    def __init__(self, detail: str, *, allow: list[str]) -> None:
        super().__init__(detail)
        self.allow = allow


class NotAcceptable(SalescycleError):
    code = "not-acceptable"
    title = "None of the formats you accept is offered"


class RequestTimeout(SalescycleError):
    code = "request-timeout"
    title = "The rest of the request did not arrive"


class BodyTooLarge(SalescycleError):
    code = "body-too-large"
    title = "The body is too large"


class AddressTooLong(SalescycleError):
    code = "address-too-long"
    title = "The address is too long"


class UnsupportedMediaType(SalescycleError):
    code = "unsupported-media-type"
    title = "The body is of a type that is not read here"


class UnsupportedCharset(UnsupportedMediaType):
    code = "unsupported-charset"
    title = "JSON is UTF-8"


class HeadersTooLarge(SalescycleError):
    code = "headers-too-large"
    title = "The headers are too large or too many"


class BadQuery(Invalid):
    """A query parameter that is unknown, repeated, or not text; a rule of the schema like any other."""


class ClientLeft(Exception):
    """The client closed the connection before its body was complete: nothing may be stored, nobody reads an answer."""
