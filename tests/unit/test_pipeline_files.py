"""Pipeline documents: what is wrong is said with file, line and column; what ships is right."""

from pathlib import Path

import pytest

from schemas.pipeline_files import read_pipelines
from schemas.pipelines import Lapse, PipelineError, Purchase

FOLDER = Path(__file__).parents[2] / "deploy" / "pipelines"
GOOD = """\
name: good
version: 1
default: true
stages:
  - {name: new, phase: opportunity}
  - {name: sold, phase: transaction}
"""


def shipped() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))}


def test_what_ships_is_one_pipeline_for_each_source_and_one_for_consumers() -> None:
    pipelines = read_pipelines(shipped())
    assert {"six-phase", "compass", "seven-steps", "customer-lifecycle", "b2c"} <= set(pipelines.names())
    assert pipelines.default.name == "six-phase"
    for pipeline in pipelines.all():
        assert pipeline.label.get("en"), pipeline.name
        for stage in pipeline.stages:
            assert stage.label.get("en"), (pipeline.name, stage.name)
    b2c = pipelines.of("b2c")
    assert (b2c.customer_type, b2c.active_by, b2c.on_term_end) == ("b2c", Purchase(purchase=365), Lapse(lapse=30))
    lifecycle = pipelines.of("customer-lifecycle")
    assert lifecycle.opportunity is not None
    assert lifecycle.opportunity.stage == "proposal"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("phase: transaction", "phase: closing"), "b.yaml:6:25: Invalid enum value 'closing'"),
        (("name: sold", "name: new"), "b.yaml:6:12: a second stage is named new"),
        (("version: 1", "version: one"), "b.yaml:2:10: Expected `int`"),
        (("version: 1", "version: 0"), "b.yaml:2:10: Expected `int` >= 1"),
        (("name: good\n", ""), "b.yaml:1:1: A mapping missing required field `name`"),
        (("version: 1", "version: 1\nversion: 2"), "b.yaml:3:1: `version` stands here a second time"),
        (("version: 1", "version: 1\nstagse: 2"), "b.yaml:1:1: A mapping contains unknown field `stagse`"),
        (("version: 1", "version: 1\nmql: {event: MarketingQualifed}"), "b.yaml:3:14: a lead has no event MarketingQualifed; did you mean MarketingQualified?"),
        (("version: 1", "version: 1\nsql: {stage: old}"), "b.yaml:3:14: this pipeline has no stage old"),
        (("version: 1", "version: 1\nsql: {}"), "b.yaml:3:6: needs either `event` or `stage`"),
        (("version: 1", "version: 1\non_term_end: stop"), "b.yaml:3:14: "),
        (("version: 1", "version: 1\nrefuse: [{event: Won, states: [asleep]}]"), "b.yaml:3:32: there is no state asleep"),
        (("version: 1", "version: 1\nrefuse: [{event: ActivityLogged, states: [lost]}]"), "b.yaml:3:18: the table of transitions has no ActivityLogged"),
        (("{name: new, phase: opportunity}", "{name: new, phase: opportunity, entry: [budgett]}"), "b.yaml:5:45: Invalid enum value 'budgett'"),
        (("stages:", "stages: ["), "b.yaml:"),
        (("stages:\n  - {name: new, phase: opportunity}\n  - {name: sold, phase: transaction}\n", "stages: []\n"), "b.yaml:4:9: Expected a list of length >= 1"),
    ],
)  # fmt: skip
def test_a_flaw_is_said_with_its_place(change: tuple[str, str], said: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(PipelineError) as error:
        read_pipelines({"b.yaml": GOOD.replace(*change)})
    assert str(error.value).startswith(said), str(error.value)


def test_two_documents_of_one_version_and_a_missing_default_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"b\.yaml: version 1 of good stands in a\.yaml already"):
        read_pipelines({"a.yaml": GOOD, "b.yaml": GOOD})
    with pytest.raises(PipelineError, match="exactly one pipeline must have"):
        read_pipelines({"a.yaml": GOOD.replace("default: true\n", "")})


def test_the_newest_version_is_what_new_leads_follow_and_the_older_ones_stay() -> None:
    two = GOOD.replace("version: 1", "version: 2").replace("name: sold", "name: done")
    pipelines = read_pipelines({"a.yaml": GOOD, "b.yaml": two})
    assert pipelines.of("good").version == 2
    assert pipelines.of("good", 1).stage("sold") is not None
    assert pipelines.of("good", 9).version == 2, "a fold stays total"
    assert pipelines.of("elsewhere").name == "good"
