"""Pipeline documents: YAML texts into `Pipeline`s, every flaw with its file, line and column.

Pure: texts come in by file name. Several versions of one pipeline are several documents.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
import yaml

from schemas.events import EVENTS
from schemas.lead.transitions import IN_TABLE, STATES
from schemas.pipelines import Moment, Pipeline, PipelineError, Pipelines

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+|\.\.\.)\]")
_MOMENTS = ("mql", "sql", "opportunity", "customer")

Path = tuple[str | int, ...]


def read_pipelines(documents: Mapping[str, str]) -> Pipelines:
    """All pipelines of a deployment from YAML texts by file name.

    Raises PipelineError: `file:line:column: what to mend`.
    """
    found: dict[tuple[str, int], str] = {}
    pipelines = []
    for file, text in documents.items():
        pipeline = _Document(file, text).pipeline()
        key = pipeline.name, pipeline.version
        if key in found:
            raise PipelineError(f"{file}: version {key[1]} of {key[0]} stands in {found[key]} already")
        found[key] = file
        pipelines.append(pipeline)
    return Pipelines(pipelines)


class _Document:
    """One text, and where each of its parts stands."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
            raise PipelineError(f"{where}: not YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise PipelineError(f"{file}: not YAML: {error}") from None
        if not isinstance(root, yaml.MappingNode):
            raise PipelineError(f"{file}:1:1: must be a mapping with name, version and stages")
        self._root: yaml.Node = root
        self._refuse_repeated_keys(root)
        self._value = yaml.safe_load(text)

    def pipeline(self) -> Pipeline:
        try:
            pipeline = msgspec.convert(self._value, Pipeline)
        except msgspec.ValidationError as error:
            sentence, _, place = str(error).partition(" - at `")
            raise self._error(_path(place), sentence) from None
        for path, sentence in _flaws(pipeline):
            raise self._error(path, sentence)
        return pipeline

    def _error(self, path: Path, sentence: str) -> PipelineError:
        mark = self._node(path).start_mark
        return PipelineError(f"{self._file}:{mark.line + 1}:{mark.column + 1}: {_plain(sentence)}")

    def _node(self, path: Path) -> yaml.Node:
        """The node at a path, or the nearest one above it that is there."""
        node = self._root
        for step in path:
            below: yaml.Node | None
            if isinstance(node, yaml.MappingNode):
                below = next((value for key, value in node.value if key.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                below = node.value[step]
            else:
                below = None
            if below is None:
                break
            node = below
        return node

    def _refuse_repeated_keys(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    mark = key.start_mark
                    raise PipelineError(
                        f"{self._file}:{mark.line + 1}:{mark.column + 1}: `{key.value}` stands here a second time"
                    )
                seen.add(key.value)
                self._refuse_repeated_keys(value)
        elif isinstance(node, yaml.SequenceNode):
            for each in node.value:
                self._refuse_repeated_keys(each)


def _path(place: str) -> Path:
    return tuple(
        name or (0 if number == "..." else int(number)) for name, number in _STEP.findall(place.rstrip("`").lstrip("$"))
    )


def _plain(sentence: str) -> str:
    """msgspec's words for people who write YAML."""
    for said, plain in (("Object", "A mapping"), ("`array`", "a list"), ("`object`", "a mapping"), ("`str`", "text")):
        sentence = sentence.replace(said, plain)
    return sentence


def _flaws(pipeline: Pipeline) -> Iterator[tuple[Path, str]]:
    """What a document says that no schema forbids."""
    names = [stage.name for stage in pipeline.stages]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("stages", index, "name"), f"a second stage is named {name}"
    for which in _MOMENTS:
        moment = getattr(pipeline, which)
        if moment is not None:
            yield from _flaws_of_moment((which,), moment, names)
    for index, rule in enumerate(pipeline.refuse):
        if rule.event not in IN_TABLE:
            yield (
                ("refuse", index, "event"),
                f"the table of transitions has no {rule.event}{_near(rule.event, IN_TABLE)}",
            )
        for place, state in enumerate(rule.states):
            if state not in STATES:
                yield ("refuse", index, "states", place), f"there is no state {state}; there are: {', '.join(STATES)}"


def _flaws_of_moment(path: Path, moment: Moment, stages: list[str]) -> Iterator[tuple[Path, str]]:
    if (moment.event is None) == (moment.stage is None):
        yield path, "needs either `event` or `stage`"
    of_leads = [name for name, kind in EVENTS.items() if "lead" in kind.streams]
    if moment.event is not None and moment.event not in of_leads:
        yield (*path, "event"), f"a lead has no event {moment.event}{_near(moment.event, of_leads)}"
    if moment.stage is not None and moment.stage not in stages:
        yield (*path, "stage"), f"this pipeline has no stage {moment.stage}{_near(moment.stage, stages)}"


def _near(word: str, known: Any) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
