"""What no schema can say of an event: scales, calendars, zones, one field against another. Refused with a pointer."""

from typing import Any

import pytest

from schemas import codec
from schemas.events import EVENTS
from schemas.examples import examples
from schemas.upcast import OLDER, versions
from tests.support.builders import EXAMPLES, NOW, document, eur, recorded

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("SurveyAnswered", {"score": 11}, "/data/score"),
    ("SurveyAnswered", {"kind": "csat", "score": 0}, "/data/score"),
    ("SurveyAnswered", {"kind": "csat", "score": 6}, "/data/score"),
    ("SurveyAnswered", {"kind": "implementation", "score": 10}, "/data/score"),
    ("SurveyAnswered", {"kind": "stars"}, "/data/kind"),
    ("PersonUpdated", {"time_zone": "Europe/Nowhere"}, "/data/time_zone"),
    ("AccountUpdated", {"time_zone": "CEST"}, "/data/time_zone"),
    ("AccountUpdated", {"country": "Germany"}, "/data/country"),
    ("OwnerUpdated", {"hours": [{"days": ["mon"], "from": "17:00", "to": "09:00"}]}, "/data/hours/0/to"),
    ("OwnerUpdated", {"hours": [{"days": ["mon"], "from": "25:00", "to": "26:00"}]}, "/data/hours/0/from"),
    ("OwnerUpdated", {"absences": [{"first_day": "2026-02-02", "last_day": "2026-02-01"}]}, "/data/absences/0/last_day"),
    ("OwnerUpdated", {"capacity_per_day": -1}, "/data/capacity_per_day"),
    ("CampaignCostRecorded", {"period": {"from": "2026-02-01", "to": "2026-02-01"}}, "/data/period/to"),
    ("CampaignCostRecorded", {"cost": {"amount": "1.005", "currency": "EUR"}}, "/data/cost/amount"),
    ("TargetSet", {"scope": {"kind": "owner"}}, "/data/scope/id"),
    ("TargetSet", {"scope": {"kind": "all", "id": "x"}}, "/data/scope/id"),
    ("TargetSet", {"currency": "EUX"}, "/data/currency"),
    ("TargetSet", {"amount": "-1"}, "/data/amount"),
    ("FxRatePublished", {"rate": "0.000"}, "/data/rate"),
    ("FxRatePublished", {"rate": "1e3"}, "/data/rate"),
    ("FxRatePublished", {"rate": "01.5"}, "/data/rate"),
    ("Won", {"contracts": [{"contract_id": "C-1"}]}, "/data/contracts/0"),
    ("Won", {"contracts": [{"contract_id": "C-1", "mrr": eur("1"), "amount": eur("1")}]}, "/data/contracts/0"),
    ("Won", {"contracts": [{"contract_id": "C-1", "mrr": eur("1.005")}]}, "/data/contracts/0/mrr/amount"),
    ("ContractChanged", {"effective_at": "2026-07-01T00:00:00"}, "/data/effective_at"),
    ("ContractChanged", {"mrr": {"amount": "1.5", "currency": "JPY"}}, "/data/mrr/amount"),
    ("EventCorrected", {"data": {}}, "/data/data"),
    ("EventCorrected", {"corrects": {"source": "a b", "id": "x"}}, "/data/corrects/source"),
    ("BantAssessed", {"budget": "maybe"}, "/data/budget"),
    ("ForecastSet", {"probability": 1.5}, "/data/probability"),
    ("LeadScored", {"score": 101}, "/data/score"),
    ("LeadScored", {"score": 50.5}, "/data/score"),
    ("LeadSplit", {"new_lead_ids": []}, "/data/new_lead_ids"),
    ("ContactRoleSet", {"role": "boss"}, "/data/role"),
    ("PipelineMoved", {"pipeline_version": 0}, "/data/pipeline_version"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "pointer"),
    BAD,
    ids=[f"{name} {next(iter(change))} {n}" for n, (name, change, _) in enumerate(BAD)],
)
def test_what_cannot_be_is_refused_with_a_pointer(name: str, change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(codec.Rejected) as refused:
        codec.parse_event(document(name, data={**EXAMPLES[name], **change}), NOW)
    assert pointer in dict(refused.value.errors)


def test_consent_may_be_given_on_a_lead_and_on_a_person_and_nowhere_else() -> None:
    for subject in ("lead/L-1", "person/p-1"):
        assert codec.parse_event(document("ConsentGranted", subject), NOW).stream == subject
    with pytest.raises(codec.Rejected) as refused:
        codec.parse_event(document("ConsentGranted", "account/a"), NOW)
    assert refused.value.errors[0][0] == "/subject"


def test_every_version_there_ever_was_has_an_example_that_reads_as_the_newest() -> None:
    found = examples()
    assert list(found) == [(name, version) for name, version, _ in versions()]
    for (name, version), example in found.items():
        accepted = codec.parse_event(example, NOW)
        assert type(accepted.body) is EVENTS[name].body, (name, version)
        assert codec.body_of(recorded(accepted)) == accepted.body
        assert accepted.meta.get("dataschema", 1) == version


def test_an_event_without_a_dataschema_is_version_one_for_ever() -> None:
    """A sender who never heard of version 2 is understood as he was on the first day."""
    old = {"cost": eur("100.00"), "month": "2026-12"}
    sent = document("CampaignCostRecorded", data=old, dataschema=None)
    accepted = codec.parse_event(sent, NOW)
    period = accepted.body.period
    assert (str(period.start), str(period.end)) == ("2026-12-01", "2027-01-01")
    assert b"month" in accepted.data, "what was sent is stored as it was sent"
    with pytest.raises(codec.Rejected):
        codec.parse_event(document("CampaignCostRecorded", dataschema="/schemas/CampaignCostRecorded/1"), NOW)
    with pytest.raises(codec.Rejected) as refused:
        codec.parse_event(document("CampaignCostRecorded", dataschema="/schemas/CampaignCostRecorded/3"), NOW)
    assert "/dataschema" in dict(refused.value.errors)


def test_older_versions_lead_up_to_the_newest() -> None:
    for name, version in OLDER:
        assert version < EVENTS[name].version
        assert (name, version + 1) in OLDER or version + 1 == EVENTS[name].version
