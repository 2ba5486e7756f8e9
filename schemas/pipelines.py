"""Pipelines: a company's own stages, each in one of the six phases, as read from `deploy/pipelines/*.yaml`.

Pure: documents come in as text, `Pipelines` goes out. A pipeline's name and version identify it for ever.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

Phase = Literal["opportunity", "qualify", "sales_process", "transaction", "management", "upgrade"]

PHASES: tuple[str, ...] = ("listed", "opportunity", "qualify", "sales_process", "transaction", "management", "upgrade")
"""In the order of the lifecycle; `listed` comes before the pipeline."""

PHASE_RANK: dict[str, int] = {phase: rank for rank, phase in enumerate(PHASES)}

Identifier = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of the board. `probability` 0..1 of being won; `rot_days` after which a visit counts as stalled."""

    name: Identifier
    phase: Phase
    label: dict[str, str] = {}
    probability: Annotated[float, Meta(ge=0, le=1)] | None = None
    rot_days: Annotated[int, Meta(ge=1)] | None = None
    entry: tuple[Literal["owner", "value", "account_id", "product", "expected_close", "region"], ...] = ()
    """Facts that must be known when a lead enters; one that is missing makes the entry anomalous, not refused."""


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named, versioned order of stages. Exactly one pipeline of a deployment is the `default`."""

    name: Identifier
    version: Annotated[int, Meta(ge=1)]
    stages: tuple[Stage, ...]
    label: dict[str, str] = {}
    default: bool = False
    customer_type: Literal["b2b", "b2c"] = "b2b"

    @property
    def first(self) -> Stage:
        return self.stages[0]

    def stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def entrance(self, phase: str) -> str:
        """The stage that a phase begins with; a phase without stages is its own stage."""
        return next((stage.name for stage in self.stages if stage.phase == phase), phase)


class PipelineError(ValueError):
    """A pipeline document that cannot be used; the message names the file and what to mend."""


class Pipelines:
    """All pipelines of a deployment, by name.

    Raises:
        PipelineError: no document, a document that breaks the schema, two of one name, or not exactly one default.
    """

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        self._by_name = {pipeline.name: pipeline for pipeline in pipelines}
        defaults = [pipeline.name for pipeline in self._by_name.values() if pipeline.default]
        if len(defaults) != 1:
            raise PipelineError(
                f"exactly one pipeline must have `default: true`; here: {', '.join(defaults) or 'none'}"
            )
        self.default = self._by_name[defaults[0]]
        self._stage_names = {stage.name for pipeline in self._by_name.values() for stage in pipeline.stages}

    @classmethod
    def parse(cls, documents: Mapping[str, str]) -> "Pipelines":
        """From YAML texts by file name."""
        pipelines: dict[str, Pipeline] = {}
        for file, text in documents.items():
            pipeline = _parse(file, text)
            if pipeline.name in pipelines:
                raise PipelineError(f"{file}: a second pipeline named {pipeline.name}")
            pipelines[pipeline.name] = pipeline
        return cls(pipelines.values())

    def get(self, name: str) -> Pipeline | None:
        return self._by_name.get(name)

    def of(self, name: str | None) -> Pipeline:
        """The pipeline of that name; the default where it is unset or unknown, so that a fold stays total."""
        return self._by_name.get(name or "", self.default)

    def description(self) -> str:
        """Everything that the fold of a lead takes from the pipelines, as one line: equal only where they are."""
        return repr([self._by_name[name] for name in self.names()])

    def names(self) -> list[str]:
        return sorted(self._by_name)

    def knows_stage(self, name: str) -> bool:
        return name in self._stage_names


def _parse(file: str, text: str) -> Pipeline:
    try:
        pipeline = msgspec.convert(yaml.safe_load(text), Pipeline)
    except yaml.YAMLError as error:
        raise PipelineError(f"{file}: not YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise PipelineError(f"{file}: {error}") from error
    names = [stage.name for stage in pipeline.stages]
    if not names:
        raise PipelineError(f"{file}: a pipeline needs at least one stage")
    if len(names) != len(set(names)):
        raise PipelineError(f"{file}: a stage name occurs twice")
    return pipeline
