"""One complete valid example of every type and version, put together from the examples that stand beside the fields.

They are what the catalogue shows, what the committed golden files hold, and what tests start from.
"""

from typing import Any, Final, get_args, get_origin

import msgspec

from schemas.events import EVENTS
from schemas.events.fields import Body
from schemas.upcast import versions

_TIME: Final = "2026-03-02T09:30:00+01:00"
_SUBJECTS: Final = {
    "lead": "lead/L-1", "person": "person/p-7", "account": "account/acme", "owner": "owner/ana.b",
    "product": "product/gtx-pro", "campaign": "campaign/spring", "target": "target/ana-2026-q1", "fx": "fx/EUR-USD",
}  # fmt: skip
_EITHER: Final = {"Contract": {"amount"}}
"""Fields that exclude one another: those named here are left out of the example."""


def examples() -> dict[tuple[str, int], dict[str, Any]]:
    """The structured CloudEvent of each (type, version), in the order of the catalogue."""
    return {(name, version): _document(name, version, body) for name, version, body in versions()}


def example_data(body: type[Body]) -> dict[str, Any]:
    """The `data` with every optional field present."""
    left_out = _EITHER.get(body.__name__, set())
    return {
        field.encode_name: _value(field.type) for field in msgspec.structs.fields(body) if field.name not in left_out
    }


def _document(name: str, version: int, body: type[Body]) -> dict[str, Any]:
    document = {
        "specversion": "1.0",
        "id": f"{name}-{version}",
        "source": "/example",
        "type": name,
        "subject": _SUBJECTS[EVENTS[name].stream_type],
        "time": _TIME,
        "data": example_data(body),
    }
    if version > 1:
        document["dataschema"] = f"/schemas/{name}/{version}"
    return document


def _value(kind: Any) -> Any:
    """The example that stands beside the type, or one put together from the examples of what it holds."""
    metas = getattr(kind, "__metadata__", ())
    for meta in reversed(metas):
        if isinstance(meta, msgspec.Meta) and meta.examples:
            return meta.examples[0]
    if isinstance(kind, type) and issubclass(kind, Body):
        return example_data(kind)
    if get_origin(kind) is tuple:
        return [_value(get_args(kind)[0])]
    for part in get_args(kind):
        if part is not type(None) and part is not Ellipsis:
            return _value(part)
    raise TypeError(f"{kind} has no example")
