"""What every figure of truth.json means: a figure without its definition is a rumour."""

from typing import Final

CONVENTIONS: Final = {
    "source": "Added up by the simulator from what it planned, not from the events, which report the plan late, twice or wrongly.",
    "errors": "Events that were corrected count as corrected, events that were retracted not at all, wherever in the file they lie.",
    "as_of": "The state at an instant is what has a business_at (effective_at, else time; for timeprecision=day the last "
    "microsecond of its day in its own offset) strictly before it. A month's end is midnight UTC of the next month's first day.",
    "zone": "Months, quarters and days are cut in UTC.",
    "money": "Decimal strings by currency, never converted. Cents of fx/<currency>-EUR rates are in the events.",
    "company": "`id` starts every lead, account and person id, and stands in every source.",
    "leads": "Streams lead/<id>. all = listed_only + screened_out + captured; voided and absorbed (merged into another) are "
    "among the captured.",
    "events": "`events` are distinct by (source, id), `lines` counts the repeated ones (`duplicates`) too. `late`: arrived a "
    "day or more after it happened. `corrected`, `retracted`: events that an EventCorrected or EventRetracted is about. "
    "What lifecycle derives (LeadAbsorbed, ContractSuperseded, captures by derivation, copies) is not in the file.",
    "board": "Leads by (pipeline, stage, outcome): captured, and not recycled, voided or absorbed at that instant. The value "
    "is the close value of a won lead and the last known value of any other. Churned and cancelled leads stay where they are.",
    "closed": "Leads by the close that stands (a reopened one by its last), dated and owned as at that close. Voided and "
    "absorbed leads leave retroactively. win_rate = won / (won + lost). lost_value is the last open value.",
    "cycle_days": "Close minus first capture: floor(seconds / 86,400); where the close is known to the day, the calendar "
    "difference in its offset. Percentiles by linear interpolation (type 7).",
    "funnel": "Leads that ever were listed, captured, MarketingQualified, Qualified, won (standing), by the channel of the "
    "first capture or list; without voided and absorbed ones.",
    "customer": "An account from its first standing Won; a lead without an account counts as an account of its own "
    "(lead/<id>), to which its later cycles belong.",
    "contracts": "A contract runs from its term_start (00:00 UTC), else its Won, until Churned, a notice that takes effect, a "
    "cancelled order, or the start of the contract that supersedes it. A term that ends without an event goes on. At an "
    "instant t it runs if start < t <= end.",
    "units": "`contract`: accounts with any contract running, one-off ones included (these never end by themselves). `mrr`: "
    "accounts with a recurring one running.",
    "mrr_movements": "Net change of an account: `instant` nets what happens at one instant, `month` what happens in a "
    "calendar month. new: from 0 for the first time; reactivation: from 0 again; churn: to 0 (negative); contraction is "
    "negative too. Per currency start + sum of movements = end.",
    "logo_churn": "Unit `contract`. active_at_start and active at the end of the month; churned: the former and not the latter; "
    "new_and_gone: neither, yet something began within.",
    "cohorts": "Month of the account's first standing Won; `active[k]`: of its accounts, those active at the end of month c+k.",
    "survival": "First spell of each account, contracts joined without a gap. Age = day of the end minus day of the start "
    "(UTC); those alive are censored on the last day of the period. Kaplan-Meier, deaths before censorings on a day. "
    "ended_and_censored_by_days: [age, ended, censored].",
    "upgrades": "UpgradeDue told; accepted, declined; renewed: the term went on by a ContractRenewed effective in the period; "
    "won: new cycles of an accepted upgrade or a renewal sold anew that are won.",
    "origins": "Cycles that grew out of another, by kind, and how many of them are won.",
    "referrals": "ReferralMade; leads with a referrer captured, and won.",
    "campaign_wins": "Won leads by the campaign of their first and last CampaignTouched.",
    "nps": "100 * (9..10 - 0..6) / n by the quarter of the answer; `latest`: the last answer of each person in the quarter.",
    "csat": "satisfied: 4 and 5.",
    "collected": "PaymentReceived less PaymentRefunded.",
}  # fmt: skip
