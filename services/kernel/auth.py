"""API keys: who asks, and whether the key has the scope that the route declares.

Every route declares `requires(scope)` or `public`; `undeclared_routes` lists those that declare neither, for the test that
holds the rule. Tokens read `sc_<key id>_<secret>`; the secret is 32 random bytes in base64url. What is stored is its
HMAC-SHA256 under a pepper: fast to check, and worthless without the pepper (a slow password hash guards guessable
secrets; these are not).
"""

import base64
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from fastapi import FastAPI, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from services.kernel.clock import utc_now
from services.kernel.errors import Forbidden, NotFound, SalescycleError, Unauthenticated
from services.kernel.routes import routes_of

SCOPES: Final = (
    "events:write",
    "events:read",
    "projections:read",
    "pii:read",
    "cadence:read",
    "cadence:write",
    "webhooks:manage",
    "ops:admin",
)
"""Everything a key may be allowed to do; a scope means exactly its own name, none contains another."""

RELOAD_EVERY_S: Final = 1.0
REMEMBERED_TOKENS: Final = 4096
PEPPER_BYTES: Final = 32
_TOKEN: Final = re.compile(r"sc_([A-Za-z0-9]{1,32})_([A-Za-z0-9_-]{43})")


class KeysUnreadable(SalescycleError):
    """The keys file is not one of ours."""

    code = "keys-unreadable"
    title = "The keys file cannot be used"


class UnknownScope(SalescycleError):
    code = "unknown-scope"
    title = "There is no such scope"


class Principal(msgspec.Struct, frozen=True):
    """Who asks: the key's id (never the secret) and what it may do."""

    key_id: str
    scopes: frozenset[str]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One stored key; `hmac` is base64 of HMAC-SHA256(pepper, secret)."""

    id: str
    hmac: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    note: str = ""


class KeysFile(msgspec.Struct, frozen=True):
    """The whole file: a pepper of 32 bytes in base64, and the keys, oldest first."""

    pepper: str
    keys: tuple[Key, ...] = ()


class KeyRing:
    """The keys of one file. A new key works at once; one that was removed or revoked stops to work within a second.

    Cost of a check: one dict look-up for a token seen before (under 2 µs), one stat() and one HMAC otherwise. A missing file is an empty
    ring (every request is refused); an unreadable one keeps the keys read before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._next_look = 0.0
        self._pepper = b""
        self._keys: dict[str, Key] = {}
        self._seen: dict[str, Principal] = {}

    def authorise(self, authorization_header: str | None, scope: str) -> Principal:
        """The holder of the token in `Authorization: Bearer <token>`.

        Raises:
            Unauthenticated: no token, not one of ours, or revoked. The message does not say which.
            Forbidden: a good key without the scope.
        """
        self._look()
        principal = self._seen.get(authorization_header or "")
        if principal is None:
            principal = self._check(authorization_header)
        if scope not in principal.scopes:
            raise Forbidden(f"The key {principal.key_id} lacks the scope {scope}.")
        return principal

    def allows(self, authorization_header: str | None, scope: str) -> bool:
        """Whether `authorise` would let this caller in now: what an endless answer asks again and again."""
        try:
            self.authorise(authorization_header, scope)
        except (Unauthenticated, Forbidden):
            return False
        return True

    def cursor_key(self) -> bytes | None:
        """A key for signing page cursors, the same in every process that reads this file; None before there is one."""
        self._look()
        return hmac.digest(self._pepper, b"page cursors", "sha256") if self._pepper else None

    def _check(self, header: str | None) -> Principal:
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send a key: `Authorization: Bearer sc_…`. `salescycle keys create` makes one.")
        parts = _TOKEN.fullmatch(token.strip())
        if parts:
            # whoever was just given a key uses it at once. Also where the id is known, so that the time tells nothing about it
            self._reload()
        key = self._keys.get(parts[1]) if parts else None
        expected = key.hmac if key else ""
        given = _hmac(self._pepper, parts[2]) if parts else ""
        # Compared also where there is no such key, so that the time tells nothing about which ids exist.
        if not hmac.compare_digest(expected, given) or key is None or key.revoked_at is not None:
            raise Unauthenticated("The key is not one of ours, or was revoked.")
        principal = Principal(key.id, frozenset(key.scopes))
        if len(self._seen) >= REMEMBERED_TOKENS:
            self._seen.clear()
        self._seen[header or ""] = principal
        return principal

    def _look(self) -> None:
        if (now := time.monotonic()) >= self._next_look:
            self._next_look = now + RELOAD_EVERY_S
            self._reload()

    def _reload(self) -> None:
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return
            file = read_keys(self.path)
        except FileNotFoundError:
            self._stamp, self._keys = None, {}
            self._seen.clear()
            return
        except (OSError, KeysUnreadable):
            return
        self._pepper = base64.b64decode(file.pepper)
        self._keys = {key.id: key for key in file.keys}
        self._seen.clear()
        self._stamp = stamp


# ---- the file


def read_keys(path: Path) -> KeysFile:
    """Raises FileNotFoundError, KeysUnreadable."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=KeysFile)
        pepper = base64.b64decode(file.pepper, validate=True)
    except (msgspec.MsgspecError, ValueError) as flaw:
        raise KeysUnreadable(f"{path} is not a keys file: {flaw}") from flaw
    if len(pepper) != PEPPER_BYTES:
        raise KeysUnreadable(f"{path} is not a keys file: its pepper is not {PEPPER_BYTES} bytes")
    return file


def create_key(path: Path, scopes: Iterable[str], note: str = "") -> str:
    """Make a key, store its hash in the file (made with mode 600 where there is none) and return the token.

    The token is shown this once and kept nowhere. Raises UnknownScope.
    """
    wanted = tuple(sorted(set(scopes)))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise UnknownScope(f"no such scope: {', '.join(unknown)}; there are: {', '.join(SCOPES)}")
    with _editing(path):
        try:
            file = read_keys(path)
        except FileNotFoundError:
            file = KeysFile(pepper=base64.b64encode(secrets.token_bytes(PEPPER_BYTES)).decode("ascii"))
        key_id = secrets.token_hex(5)
        secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode("ascii")
        stored = _hmac(base64.b64decode(file.pepper), secret)
        key = Key(id=key_id, hmac=stored, scopes=wanted, created_at=utc_now(), note=note)
        _write(path, KeysFile(pepper=file.pepper, keys=(*file.keys, key)))
    return f"sc_{key_id}_{secret}"


def revoke_key(path: Path, key_id: str) -> Key:
    """Mark the key as revoked, once and for ever; every service refuses it within two seconds. Raises NotFound."""
    with _editing(path):
        try:
            file = read_keys(path)
        except FileNotFoundError:
            raise NotFound(f"There is no keys file at {path}.") from None
        found = next((key for key in file.keys if key.id == key_id), None)
        if found is None:
            raise NotFound(f"There is no key {key_id} in {path}.")
        revoked = found if found.revoked_at else msgspec.structs.replace(found, revoked_at=utc_now())
        _write(path, KeysFile(pepper=file.pepper, keys=tuple(revoked if key is found else key for key in file.keys)))
    return revoked


def _hmac(pepper: bytes, secret: str) -> str:
    return base64.b64encode(hmac.digest(pepper, secret.encode("ascii"), hashlib.sha256)).decode("ascii")


@contextmanager
def _editing(path: Path) -> Iterator[None]:
    """Hold the file's lock: two commands at once would otherwise lose one of their keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, file: KeysFile) -> None:
    """Replace the file whole: a reader sees the old one or the new one, never half of one, also after a power cut."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as new:
        new.write(msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")
        new.flush()
        os.fsync(new.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too, must be on the disk
    finally:
        os.close(folder)


# ---- routes

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `sc_<key id>_<secret>`.")


def requires(scope: str) -> Callable[..., Awaitable[Principal]]:
    """A FastAPI dependency that lets in who holds `scope` and gives the Principal; reads the ring in `app.state.keys`.

    Use `Depends(requires("events:read"))`. It also puts the security scheme and the scope into the OpenAPI document.
    Raises ValueError on a scope that does not exist, when the route is declared.
    """
    if scope not in SCOPES:
        raise ValueError(f"no such scope: {scope}")

    # The header is read from the request; the scheme is named only so that it stands in the OpenAPI document.
    declared = Security(_bearer, scopes=[scope])

    async def authorised(request: Request, _credentials: Annotated[Any, declared]) -> Principal:
        ring: KeyRing = request.app.state.keys
        principal = ring.authorise(request.headers.get("authorization"), scope)
        request.state.principal = principal
        return principal

    authorised.required_scope = scope  # type: ignore[attr-defined]
    return authorised


async def public() -> None:
    """A FastAPI dependency that does nothing: it declares that a route needs no key. Use `Depends(public)`."""


def scope_of(route: APIRoute) -> str | None:
    """The scope a route requires, `public`, or None where it declares neither."""
    for dependency in _dependencies(route.dependant):
        if dependency is public:
            return "public"
        if scope := getattr(dependency, "required_scope", None):
            return str(scope)
    return None


def undeclared_routes(app: FastAPI) -> list[str]:
    """The FastAPI routes that declare neither a scope nor `public`, as `METHOD /path`; must be empty."""
    return [
        f"{method} {route.path}"
        for route in routes_of(app)
        if isinstance(route, APIRoute) and scope_of(route) is None
        for method in sorted(route.methods or ())
    ]


def _dependencies(dependant: Any) -> Iterator[Any]:
    for below in dependant.dependencies:
        yield below.call
        yield from _dependencies(below)
