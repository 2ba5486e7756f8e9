"""Pipelines: a company's own stages, each in one of the six phases, and what the company means by its own words.

Pure: documents come in as text, `Pipelines` goes out. A pipeline's name and version identify it for ever: a lead keeps the
version it was captured under until a PipelineMoved takes it to another one.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Phase = Literal["opportunity", "qualify", "sales_process", "transaction", "management", "upgrade"]

PHASES: tuple[str, ...] = ("listed", "opportunity", "qualify", "sales_process", "transaction", "management", "upgrade")
"""In the order of the lifecycle; `listed` comes before the pipeline."""

PHASE_RANK: dict[str, int] = {phase: rank for rank, phase in enumerate(PHASES)}

Identifier = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
Days = Annotated[int, Meta(ge=0, le=3_650)]
Share = Annotated[float, Meta(ge=0, le=1)]
EntryFact = Literal[
    "owner", "value", "mrr", "account_id", "person_id", "product", "expected_close", "region", "segment", "budget",
    "authority", "need", "timeline",
]  # fmt: skip
"""What may have to be known before a stage is entered; the four answers of BANT count as known once they are not `unknown`."""


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of what stands in a pipeline document."""


class Goals(Document, frozen=True, kw_only=True):
    """What a stage should reach: half of the visits over in `median_days`, a share of `conversion` going on."""

    median_days: Days | None = None
    conversion: Share | None = None


class Stage(Document, frozen=True, kw_only=True):
    """One column of the board. `probability` 0..1 of being won; `rot_days` after which a visit counts as stalled."""

    name: Identifier
    phase: Phase
    label: dict[str, str] = {}
    probability: Share | None = None
    rot_days: Annotated[int, Meta(ge=1, le=3_650)] | None = None
    entry: tuple[EntryFact, ...] = ()
    """Facts that must be known when a lead enters; one that is missing makes the entry anomalous, not refused."""
    goals: Goals = Goals()
    required_activities: tuple[Identifier, ...] = ()
    """Kinds of ActivityLogged that a visit should hold."""


class Moment(Document, frozen=True, kw_only=True):
    """When a lead counts as something: by an event, or by entering a stage. Exactly one of the two."""

    event: Identifier | None = None
    stage: Identifier | None = None


class Lapse(Document, frozen=True, kw_only=True):
    """A term that ends without an event ends the contract, so many days later."""

    lapse: Days


class Purchase(Document, frozen=True, kw_only=True):
    """A customer is active for so many days after a purchase."""

    purchase: Annotated[int, Meta(ge=1, le=3_650)]


class Tightened(Document, frozen=True, kw_only=True):
    """An event that this company refuses (409) in some states, though facts are kept by default."""

    event: Identifier
    states: Annotated[tuple[Identifier, ...], Meta(min_length=1)]


class Pipeline(Document, frozen=True, kw_only=True):
    """A named, versioned order of stages. Exactly one pipeline of a deployment is the `default`.

    `mql`, `sql`, `opportunity`, `customer` are the company's own definitions; an absent `opportunity` is `sql`.
    """

    name: Identifier
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1, max_length=100)]
    label: dict[str, str] = {}
    default: bool = False
    customer_type: Literal["b2b", "b2c"] = "b2b"
    mql: Moment = Moment(event="MarketingQualified")
    sql: Moment = Moment(event="Qualified")
    opportunity: Moment | None = None
    customer: Moment = Moment(event="Won")
    on_term_end: Literal["continue"] | Lapse = "continue"
    active_by: Literal["contract", "mrr"] | Purchase = "contract"
    delivered_after: Days | None = None
    """Days after the win from which a lead without a Delivered counts as delivered; absent: never by itself."""
    refuse: tuple[Tightened, ...] = ()

    @property
    def first(self) -> Stage:
        return self.stages[0]

    def stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def entrance(self, phase: str) -> str:
        """The stage that a phase begins with; a phase without stages is its own stage."""
        return next((stage.name for stage in self.stages if stage.phase == phase), phase)

    def refuses(self, event: str, state: str) -> bool:
        """Whether the company wants this event refused in this state of a lead."""
        return any(rule.event == event and state in rule.states for rule in self.refuse)


class PipelineError(ValueError):
    """A pipeline document that cannot be used; the message names the file, the place and what to mend."""


class Pipelines:
    """All pipelines of a deployment, by name and version; the newest version of a name is what new leads follow.

    Raises:
        PipelineError: two of one name and version, or not exactly one default among the newest versions.
    """

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        self._versions = {(pipeline.name, pipeline.version): pipeline for pipeline in pipelines}
        self._newest: dict[str, Pipeline] = {}
        for _, pipeline in sorted(self._versions.items()):
            self._newest[pipeline.name] = pipeline
        defaults = [pipeline.name for pipeline in self._newest.values() if pipeline.default]
        if len(defaults) != 1:
            raise PipelineError(
                f"exactly one pipeline must have `default: true`; here: {', '.join(defaults) or 'none'}"
            )
        self.default = self._newest[defaults[0]]
        self._stage_names = {stage.name for pipeline in self._versions.values() for stage in pipeline.stages}

    def get(self, name: str, version: int | None = None) -> Pipeline | None:
        """That version; without one, the newest."""
        return self._newest.get(name) if version is None else self._versions.get((name, version))

    def of(self, name: str | None, version: int | None = None) -> Pipeline:
        """The pipeline of that name and version; the nearest there is where either is unknown, so that a fold stays total."""
        return self._versions.get((name or "", version or 0)) or self._newest.get(name or "", self.default)

    def named(self, text: str | None) -> Pipeline:
        """The pipeline that `name@version` names, as `of` has it."""
        name, _, version = (text or "").partition("@")
        return self.of(name or None, int(version) if version.isdigit() else None)

    def with_stage(self, stage: str) -> Pipeline:
        """The default pipeline where it has the stage; else the first by name that has it; else the default."""
        found = [pipeline for pipeline in self._newest.values() if pipeline.stage(stage) is not None]
        return self.default if self.default in found or not found else min(found, key=lambda each: each.name)

    def description(self) -> str:
        """Everything that the fold of a lead takes from the pipelines, as one line: equal only where they are."""
        return repr([self._versions[key] for key in sorted(self._versions)])

    def all(self) -> list[Pipeline]:
        """Every version of every pipeline, by name and version."""
        return [self._versions[key] for key in sorted(self._versions)]

    def names(self) -> list[str]:
        return sorted(self._newest)

    def knows_stage(self, name: str) -> bool:
        return name in self._stage_names
