"""docs/metrics.md: every metric as the registry says it is; generated, so that the page and the answers cannot differ."""

from collections.abc import Iterable, Sequence

from services.projections.metrics import METRICS
from services.projections.query.metric import Metric
from services.projections.query.parameters import Parameter
from services.projections.query.question import parameters_of

_HEAD = """\
# Metrics

Written by `salescycle schemas write` from the definitions that answer the queries; `GET /v1/metrics` gives the same as JSON.

Every metric is a query of projections, `GET /v1/metrics/<id>`, with a key that has the scope `projections:read`:

```sh
curl -s "$PROJECTIONS/v1/metrics/win_rate?from=2026-01-01&interval=month&group_by=owner" -H "Authorization: Bearer $KEY"
```

**Two clocks.** Each fact happened at one instant and was recorded at another. `as_of` is about the first: an answer counts what
happened before it. `known_at` is about the second: what had been recorded before it. Both default to now; an answer with a past
`known_at` never changes. `known_at` is cut back to `known_through`, up to which every partition of the log has been applied, and the answer says so.

**Periods** are half-open, `[from, to)`, and cut by `interval` in `zone`; a date as `from` or `to` is its beginning, as `as_of` or `known_at`
its end. Quarters and years may begin in another month (`fiscal_start`). A period that is cut, or not over at `as_of`, has `complete: false`.

**Dimensions** count as they stood when the fact came about; `dims=current` takes those of now. Team and manager come from the owner's
own stream, industry and customer type from the account's, the series from the product's. `group_by` takes several with commas, and
each of them is also a filter.

**Money** is told for each currency apart. With `currency` it is converted: closed deals at the rate of the day they closed, open ones at
the latest rate before `as_of`, by the rates known at `known_at`. What has no rate is counted in `unpriced_n`, and not priced.

**A ratio** is `numerator`, `denominator` and `value`, which is null where the denominator is zero.

**Forms**: JSON, and by `Accept` CSV (`text/csv`) or NDJSON (`application/x-ndjson`), which hold the rows alone; the rest stands in headers `Answer-…`.
Every answer names its metric with the version of the definition, the parameters it used, how far the log was applied (`positions`, `known_through`,
`lag_ms`), and `complete`: whether all that the question asks about is applied. `min_position=<partition>:<position>` waits for what was just written.

| metric | what | formula |
|---|---|---|
"""


def metrics_page() -> str:
    """The whole page, in Markdown."""
    index = "".join(f"| [`{each.id}`](#{each.id}) | {each.title} | {each.formula} |\n" for each in METRICS.values())
    shared = _shared(METRICS.values())
    common = (
        "\n## Parameters of every metric\n\n"
        + _table("parameter", ((each.name, _described(each)) for each in shared))
        + "\nA metric of a period also takes `from`, `to`, `interval` and `fiscal_start`; one with money `currency`; a list `limit` and `cursor`.\n"
    )
    return _HEAD + index + common + "".join(map(_section, METRICS.values()))


def _shared(metrics: Iterable[Metric]) -> list[Parameter]:
    """What every metric takes, dimensions and money apart."""
    known = list(metrics)
    apart = {name for metric in known for name in metric.dimensions} | {"group_by", "currency"}
    of_all = [{parameter.name: parameter for parameter in parameters_of(metric)} for metric in known]
    return [each for name, each in of_all[0].items() if name not in apart and all(name in other for other in of_all)]


def _section(metric: Metric) -> str:
    own = [(each.name, _described(each)) for each in metric.parameters]
    parts = [
        f"\n## {metric.id}\n\n**{metric.title}**, version {metric.version}. {metric.definition}\n\n",
        f"Formula: {metric.formula}. Asked {'as of an instant' if metric.time == 'instant' else 'for a period'}",
        f"{', in pages' if metric.listed else ''}; from the read model {' and '.join(metric.models)}.\n\n",
        _table("column", metric.columns.items()),
    ]
    if own:
        parts.append("\n" + _table("parameter", own))
    if metric.dimensions:
        parts.append(f"\nDimensions: {', '.join(f'`{name}`' for name in metric.dimensions)}.\n")
    return "".join(parts)


def _described(parameter: Parameter) -> str:
    choices = f" One of {', '.join(f'`{choice}`' for choice in parameter.choices)}." if parameter.choices else ""
    default = f" Default: `{parameter.default}`." if parameter.default else ""
    return f"{parameter.description}{choices}{default}"


def _table(name: str, rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(f"| `{left}` | {right.replace('|', '&#124;')} |\n" for left, right in rows)
    return f"| {name} | meaning |\n|---|---|\n{lines}"
