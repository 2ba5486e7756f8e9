"""A YAML document whose every part knows its line, so that a mapping's flaw is said where it stands."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any, Final

import yaml

from services.cli.machine import CannotStart

MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_WORDS: Final[dict[str, Any]] = {"": None, "~": None, "null": None, "true": True, "false": False}


class BadMapping(CannotStart):
    """The mapping cannot be used; the message names its file, line and place."""


class Node:
    """One part of the document: `value` is a scalar, a list of nodes, or a dict of nodes by key; `path` leads to it.

    Scalars keep the text they were written as in `text`. `yes`, `no` and dates stay texts: a cell may hold them.
    """

    __slots__ = ("file", "line", "path", "text", "value")

    def __init__(self, value: Any, text: str, path: str, line: int, file: str) -> None:
        self.value = value
        self.text = text
        self.path = path
        self.line = line
        self.file = file

    def refuse(self, detail: str) -> BadMapping:
        """The error to raise: `<file>:<line>: <path>: <detail>`."""
        return BadMapping(f"{self.file}:{self.line}: {self.path or 'the mapping'}: {detail}")

    def members(self, known: Collection[str] | None = None, required: Collection[str] = ()) -> dict[str, "Node"]:
        """The parts of a mapping node. Raises BadMapping for another shape, an unknown key or one that is missing."""
        if not isinstance(self.value, dict):
            raise self.refuse("needs names with values here (a YAML mapping)")
        for name, part in self.value.items():
            if known is not None and name not in known:
                raise part.refuse(
                    f"is not known here{did_you_mean(name, known)}; there are: {', '.join(sorted(known))}"
                )
        if missing := [name for name in required if name not in self.value]:
            raise self.refuse(f"needs `{missing[0]}`")
        return self.value

    def items(self) -> list["Node"]:
        """The parts of a list node. Raises BadMapping for another shape."""
        if not isinstance(self.value, list):
            raise self.refuse("needs a list here")
        return self.value

    def word(self, among: Collection[str] | None = None) -> str:
        """A scalar as text, one of `among` where given. Raises BadMapping."""
        if isinstance(self.value, dict | list) or self.value is None:
            raise self.refuse(f'needs a text here (write "{self.text}")' if self.text else "needs a text here")
        if among is not None and self.text not in among:
            raise self.refuse(f"must be one of: {', '.join(among)}{did_you_mean(self.text, among)}")
        return self.text

    def words(self) -> list[str]:
        """A text, or a list of texts, where also NULL is a text. Raises BadMapping."""
        parts = self.items() if isinstance(self.value, list) else [self]
        return [part.text if part.value is None and part.text else part.word() for part in parts]


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or nothing where no known name is near."""
    by_folded = {re.sub(r"[\s_.-]+", "", name).casefold(): name for name in known}
    near = get_close_matches(re.sub(r"[\s_.-]+", "", given).casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean `{by_folded[near[0]]}`?)" if near else ""


def parse(text: str, file: str) -> Node:
    """The one document of a YAML text. Raises BadMapping: no YAML, a key twice, too deep or too large."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise BadMapping(f"{file}:{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if root is None:
        raise BadMapping(f"{file}:1: is empty")
    return _Reader(file).read(root, "", 0)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.seen = 0

    def read(self, node: yaml.Node, path: str, depth: int) -> Node:
        line = node.start_mark.line + 1
        self.seen += 1
        if depth > MAX_DEPTH or self.seen > MAX_NODES:  # aliases can make a small text very large
            raise BadMapping(f"{self.file}:{line}: {path}: is nested too deep, or the mapping is too large")
        if isinstance(node, yaml.ScalarNode):
            value = node.value if node.style is not None else _scalar(node.value)
            return Node(value, node.value, path, line, self.file)
        if isinstance(node, yaml.SequenceNode):
            parts = [self.read(part, f"{path}[{index}]", depth + 1) for index, part in enumerate(node.value)]
            return Node(parts, "", path, line, self.file)
        members: dict[str, Node] = {}
        for key, part in node.value:
            place = f"{self.file}:{key.start_mark.line + 1}: {path or 'the mapping'}"
            if not isinstance(key, yaml.ScalarNode):
                raise BadMapping(f"{place}: a name must be a text")
            if key.value in members:
                raise BadMapping(f"{place}: names `{key.value}` twice")
            members[key.value] = self.read(part, f"{path}.{key.value}" if path else key.value, depth + 1)
        return Node(members, "", path, line, self.file)


def _scalar(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
