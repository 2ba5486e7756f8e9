"""The registry of metrics: each is described whole, and what it says is what is served and documented."""

import re

import pytest

from services.projections.metric_page import metrics_page
from services.projections.metrics import METRICS
from services.projections.models import MODELS
from services.projections.query.metric import Metric
from services.projections.query.question import parameters_of

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))


@every_metric
def test_a_metric_is_described_whole(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z_]+", metric.id)
    assert metric.definition.endswith(".")
    assert len(metric.definition) > 60
    assert all((metric.formula, metric.title, metric.columns, metric.version >= 1))
    assert set(metric.models) <= set(MODELS)


@every_metric
def test_no_parameter_of_a_metric_stands_for_two_things(metric: Metric) -> None:
    names = [parameter.name for parameter in parameters_of(metric)]
    assert len(set(names)) == len(names)


@every_metric
def test_every_default_is_one_that_a_user_may_write(metric: Metric) -> None:
    for parameter in parameters_of(metric):
        parameter.value(None)
        if parameter.default:
            assert parameter.value(parameter.default) == parameter.value(None)


@every_metric
def test_a_metric_has_its_section_in_the_page(metric: Metric) -> None:
    page = metrics_page()
    assert f"\n## {metric.id}\n" in page
    assert all(f"| `{column}` |" in page for column in metric.columns)
