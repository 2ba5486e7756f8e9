"""From a name on a list to a lead that marketing holds for ripe."""

from services.cli.simulation.company import (
    CHANNELS,
    DEFAULT_NAME,
    INDUSTRIES,
    LEAVER,
    PRODUCTS,
    REGIONS,
    SEGMENTS,
    SIX_PHASE,
    SIZES,
    SUCCESSOR,
    sdr_of,
)
from services.cli.simulation.cycle import Beginning, Cycle, Data
from services.cli.simulation.days import DAY
from services.cli.simulation.plan import LeadPlan

_SCREENED_OUT = "Not a company that we sell to."


def list_price(cycle: Cycle) -> int:
    """Cents a month, or once where nothing recurs, for what the lead asks for."""
    plan, product = cycle.plan, PRODUCTS[cycle.plan.product]
    return (product.mrr or product.price) * 100 * SEGMENTS[plan.segment] * cycle.chance.number(1, 4)


def listed(cycle: Cycle) -> bool:
    """The contact stands on a list and is screened. False: it goes no further."""
    plan, chance = cycle.plan, cycle.chance
    contact: Data = {"source_channel": plan.channel, "region": plan.region, "segment": plan.segment}
    if CHANNELS[plan.channel].campaigns:
        contact["list_id"] = f"list-{plan.channel}"
    cycle.tell("ContactListed", contact, source="marketing", late=False)
    plan.listed_at = cycle.now
    if chance.happens(0.85):
        cycle.wait(chance.number(1, 12))
        if chance.happens(0.24):
            cycle.tell("ContactScreened", {"result": "unfit", "reason": _SCREENED_OUT}, source="marketing")
            plan.out = True
            return False
        cycle.tell("ContactScreened", {"result": "fit", "score": chance.number(40, 95)}, source="marketing")
    if chance.happens(0.22):
        return False
    cycle.wait(chance.number(1, 25))
    return True


def captured(cycle: Cycle, beginning: Beginning) -> None:
    """The lead is captured, on the pipeline's first stage."""
    plan, chance, board = cycle.plan, cycle.chance, cycle.board
    data: Data = {"source_channel": plan.channel, "person_id": plan.person, "owner": plan.owner, "region": plan.region}
    data |= {"segment": plan.segment, "product": plan.product}
    known = plan.has_account and (beginning.parent is not None or not chance.happens(0.06))
    if known:
        data["account_id"] = plan.account
    if board.name is not None:
        data["pipeline"] = board.name
    parent = beginning.parent
    if parent is not None:
        data["origin"] = {"lead_id": parent.plan.id, "kind": beginning.kind}
        plan.origin = (parent.plan.id, str(beginning.kind))
    elif beginning.referrer is not None:
        data["referrer_lead_id"] = plan.referrer = beginning.referrer
    campaigns = CHANNELS[plan.channel].campaigns
    if campaigns:
        data["campaign_id"] = chance.pick(campaigns)
        if plan.channel in ("web", "ads"):
            data["utm"] = {"source": "search" if plan.channel == "ads" else "news", "campaign": data["campaign_id"]}
    if plan.value is not None:
        data["value"] = cycle.worth(plan.value)
    source = "web" if CHANNELS[plan.channel].any_hour else "crm"
    slip = {**data, "region": next(region for region in REGIONS if region != plan.region)}
    first = parent is None
    cycle.captured_late = cycle.tell("LeadCaptured", data, source=source, late=first, wrong=slip if first else None)
    plan.captured_at = cycle.now
    plan.stands(cycle.now, board.first, "open")
    if plan.has_account and not known:
        cycle.tell("AccountChanged", {"account_id": plan.account, "reason": "Found by their domain."}, late=False)


def introduced(cycle: Cycle) -> None:
    """Who they are: the company, the person, what they agree to. Known in the hour of the capture."""
    plan, chance = cycle.plan, cycle.chance
    region = REGIONS[plan.region]
    number = plan.id.rpartition("-")[2]
    if plan.has_account:
        company: Data = {"name": f"Company {number}", "industry": chance.pick(INDUSTRIES), "size": SIZES[plan.segment]}
        company |= {"country": region.country, "time_zone": region.zone, "customer_type": "b2b"}
        cycle.on(f"account/{plan.account}", "AccountUpdated", company)
    person: Data = {"time_zone": region.zone, "country": region.country, "locale": region.locale}
    person |= {"name": f"Person {number}", "email": f"person.{number}@example.com"}
    stream = f"person/{plan.person}"
    cycle.on(stream, "PersonUpdated", person)
    if chance.happens(0.45):
        consent = {"purpose": chance.pick(("newsletter", "marketing", "product_news")), "channel": "email"}
        if chance.happens(0.2):
            cycle.tell("ConsentGranted", consent, source="web", late=False)
        else:
            cycle.on(stream, "ConsentGranted", consent, source="web")
        withdrawn = cycle.now + DAY * (20 + chance.waiting_days(500))
        if chance.happens(0.3) and withdrawn < cycle.period.end:
            cycle.on(stream, "ConsentWithdrawn", consent, at=withdrawn, source="web")
    if chance.happens(0.1):
        cycle.tell(
            "LeadEnriched",
            {"fields": {"staff": SIZES[plan.segment], "site": f"c{number}.example.com"}, "provider": "Registry"},
        )
    if plan.segment != "SMB" and chance.happens(0.4):
        cycle.tell(
            "SegmentAssigned", {"segment": plan.segment, "rule": "by-size", "rule_version": "2"}, source="marketing"
        )


def touched(cycle: Cycle, share: float) -> None:
    """A campaign reaches them, as many times as chance wants."""
    plan, chance = cycle.plan, cycle.chance
    campaigns = CHANNELS[plan.channel].campaigns
    while campaigns and chance.happens(share):
        cycle.wait(chance.number(0, 3))
        campaign = chance.pick(campaigns)
        cycle.tell(
            "CampaignTouched", {"campaign_id": campaign, "channel": plan.channel}, source="marketing", late=False
        )
        plan.touches.append(campaign)
        if chance.happens(0.4):
            opened = {"kind": chance.pick(("email_opened", "email_clicked", "web_visit", "form")), "direction": "in"}
            cycle.tell("ActivityLogged", {**opened, "campaign_id": campaign}, source="marketing")


def called(cycle: Cycle) -> bool:
    """We try to reach them. False: nobody ever answers."""
    chance = cycle.chance
    for attempt in range(4):
        reached = chance.happens(0.55)
        kind = "call" if attempt < 2 else "email"
        cycle.wait(0 if attempt == 0 else chance.number(1, 4))
        cycle.tell(
            "ActivityLogged", {"kind": kind, "direction": "out", "outcome": "reached" if reached else "no answer"}
        )
        if reached:
            return True
    return False


def merged(cycle: Cycle) -> None:
    """The same people were captured a second time, and somebody notices: the other lead is absorbed by this one."""
    scene, plan, chance = cycle.scene, cycle.plan, cycle.chance
    cycle.wait(chance.number(1, 3))
    other = LeadPlan(
        id=scene.new_id(), account=plan.account, person=plan.person, channel="other", region=plan.region, segment=plan.segment,
        product=plan.product, currency=plan.currency, owner=plan.owner, pipeline=DEFAULT_NAME, captured_at=cycle.now,
    )  # fmt: skip
    scene.joins(other)
    data = {"source_channel": other.channel, "region": plan.region, "segment": plan.segment, "person_id": plan.person}
    scene.teller.tell("web", "LeadCaptured", f"lead/{other.id}", cycle.now, data, late=False)
    other.stands(cycle.now, SIX_PHASE.first, "open")
    cycle.wait(chance.number(1, 3))
    cycle.tell("LeadMerged", {"absorbed_lead_id": other.id}, late=False)
    other.leaves(cycle.now)
    other.absorbed = True


def marketing_qualified(cycle: Cycle, *, again: bool = False) -> None:
    """Marketing hands over; sales takes it, sometimes not at once."""
    plan, chance = cycle.plan, cycle.chance
    score = chance.number(55, 99)
    if not again or chance.happens(0.5):
        model = {"score": score, "model": "propensity", "model_version": "2"}
        cycle.tell("LeadScored", model, source="marketing", wrong={**model, "score": 100 - score})
    at = cycle.step("MarketingQualified", {"criteria_version": "3", "score": score})
    plan.mql_at = plan.mql_at or at
    plan.stands(at, cycle.board.qualify)
    if chance.happens(0.35):
        cycle.tell("LeadAssigned", {"owner": sdr_of(plan.region), "role": "sdr"}, late=False)
        seller, plan.owner = plan.owner, sdr_of(plan.region)
        cycle.wait(chance.number(0, 2))
        if chance.happens(0.12):
            cycle.tell("HandoverRejected", {"role": "sales", "reason": "No project this year."})
            cycle.wait(chance.number(2, 9))
        cycle.tell("HandoverAccepted", {"role": "sales"})
        if seller == LEAVER and cycle.now >= cycle.scene.leaves_at:
            seller = SUCCESSOR
        cycle.tell("LeadAssigned", {"owner": seller, "role": "sales", "rule": "by-region"}, late=False)
        plan.owner = seller
