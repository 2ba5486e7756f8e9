"""The cast: how leads come in, who sells, what is sold and to whom. Constants; shares are of all leads that get that far."""

from typing import Final, NamedTuple

from services.cli.simulation.chance import Chance, Weighted


class Channel(NamedTuple):
    """`listed`: share that stands on a list first; `mql`, `sql`, `win`: shares that take that step once at the one before."""

    weight: int
    listed: float
    mql: float
    sql: float
    win: float
    campaigns: tuple[str, ...] = ()
    any_hour: bool = False


CHANNELS: Final = {
    "web": Channel(24, 0.0, 0.62, 0.55, 0.34, ("search-always-on", "spring-launch"), any_hour=True),
    "organic": Channel(12, 0.0, 0.60, 0.58, 0.36, ("content-hub",), any_hour=True),
    "ads": Channel(12, 0.0, 0.48, 0.42, 0.26, ("search-always-on", "social-retarget", "spring-launch"), any_hour=True),
    "event": Channel(9, 0.7, 0.58, 0.50, 0.31, ("fair-season",)),
    "phone": Channel(8, 0.0, 0.66, 0.60, 0.38),
    "cold_call": Channel(8, 0.8, 0.40, 0.36, 0.22),
    "telemarketing": Channel(6, 0.8, 0.36, 0.34, 0.20, ("telesales-autumn",)),
    "partner": Channel(8, 0.0, 0.70, 0.66, 0.42),
    "in_field": Channel(5, 0.2, 0.60, 0.56, 0.35),
    "other": Channel(4, 0.1, 0.45, 0.42, 0.25),
    "referral": Channel(4, 0.0, 0.78, 0.74, 0.52),
    "upgrade": Channel(0, 0.0, 1.0, 0.95, 0.66),
}
CHANNEL: Final = Weighted({name: channel.weight for name, channel in CHANNELS.items()})


class Region(NamedTuple):
    zone: str
    country: str
    locale: str
    currency: str


REGIONS: Final = {
    "Central": Region("Europe/Berlin", "DE", "de-DE", "EUR"),
    "Isles": Region("Europe/London", "GB", "en-GB", "GBP"),
    "Atlantic": Region("America/New_York", "US", "en-US", "USD"),
}
REGION: Final = Weighted({"Central": 52, "Isles": 22, "Atlantic": 26})
REPORTING: Final = "EUR"


class Product(NamedTuple):
    """Prices in whole units of any currency: `mrr` per month and seat pack, `price` once. `life_days`: mean time to churn."""

    name: str
    series: str
    weight: int
    mrr: int
    price: int
    life_days: int


PRODUCTS: Final = {
    "starter": Product("Starter", "Flow", 44, 49, 0, 420),
    "team": Product("Team", "Flow", 30, 240, 0, 760),
    "plant": Product("Plant", "Works", 12, 1_450, 0, 1_300),
    "onsite": Product("Onsite setup", "Works", 8, 0, 6_800, 0),
    "insight": Product("Insight", "Add-on", 6, 120, 0, 640),
}
PRODUCT: Final = Weighted({name: product.weight for name, product in PRODUCTS.items()})

SEGMENTS: Final = {"SMB": 1, "Mid": 3, "Enterprise": 9}
"""How many times the price list a deal of the segment is."""
SEGMENT: Final = Weighted({"SMB": 62, "Mid": 28, "Enterprise": 10})
INDUSTRIES: Final = ("Retail", "Machinery", "Health", "Logistics", "Software", "Energy")
SIZES: Final = {"SMB": "1-50", "Mid": "51-500", "Enterprise": "501+"}
COMPETITORS: Final = ("Northwind", "Initrode", "Umbra", "Vandelay")

LOSSES: Final = Weighted({
    "price": 22, "no_decision": 20, "competitor": 18, "timing": 14, "no_budget": 10, "feature": 8, "unfit": 4, "unknown": 4,
})  # fmt: skip
CHURNS: Final = Weighted(
    {"price": 30, "competitor": 20, "feature": 15, "support": 12, "closed": 8, "unknown": 10, "other": 5}
)
OBJECTIONS: Final = Weighted(
    {"price": 38, "feature": 20, "implementation": 16, "competitor": 12, "timing": 10, "other": 4}
)


class Owner(NamedTuple):
    name: str
    region: str
    role: str
    manager: str | None
    capacity: int


OWNERS: Final = {
    "vera.h": Owner("Vera Holm", "Central", "sales", None, 10),
    "tom.r": Owner("Tom Reed", "Atlantic", "sales", "vera.h", 10),
    "ana.b": Owner("Ana Becker", "Central", "sales", "vera.h", 40),
    "jonas.k": Owner("Jonas Kern", "Central", "sales", "vera.h", 40),
    "mei.l": Owner("Mei Lindner", "Central", "sales", "vera.h", 35),
    "rosa.d": Owner("Rosa Duarte", "Central", "sdr", "vera.h", 60),
    "finn.o": Owner("Finn O'Dea", "Isles", "sales", "vera.h", 40),
    "priya.s": Owner("Priya Shah", "Isles", "sales", "vera.h", 40),
    "hugh.m": Owner("Hugh Marsh", "Isles", "sdr", "vera.h", 55),
    "dana.w": Owner("Dana Wells", "Atlantic", "sales", "tom.r", 40),
    "luis.g": Owner("Luis Gomez", "Atlantic", "sales", "tom.r", 40),
    "kim.p": Owner("Kim Park", "Atlantic", "sdr", "tom.r", 60),
    "nora.v": Owner("Nora Vance", "Central", "success", "vera.h", 30),
}
LEAVER: Final = "jonas.k"
SUCCESSOR: Final = "mei.l"
LEAVES_AFTER: Final = 0.55
"""Share of the period after which the leaver is gone."""
_SELLERS: Final = {
    region: tuple(
        name for name, owner in OWNERS.items() if owner.region == region and owner.role == "sales" and owner.manager
    )
    for region in REGIONS
}
_SDR: Final = {"Central": "rosa.d", "Isles": "hugh.m", "Atlantic": "kim.p"}
SUCCESS: Final = "nora.v"


def sdr_of(region: str) -> str:
    return _SDR[region]


def seller(region: str, chance: Chance, *, leaver_gone: bool) -> str:
    """Who of the region takes the lead."""
    chosen = chance.pick(_SELLERS[region])
    return SUCCESSOR if leaver_gone and chosen == LEAVER else chosen


CAMPAIGNS: Final = {
    "search-always-on": ("ads", 3_200), "social-retarget": ("ads", 1_900), "spring-launch": ("web", 5_400),
    "content-hub": ("organic", 1_100), "fair-season": ("event", 7_800), "telesales-autumn": ("telemarketing", 2_300),
}  # fmt: skip
"""Channel, and what it costs in a month (EUR)."""


class Board(NamedTuple):
    """A pipeline that ships, as far as a lead moves on it: the stage that each phase begins with."""

    name: str | None
    first: str
    qualify: str
    sales: str
    closing: str | None


SIX_PHASE: Final = Board(None, "opportunity", "qualify", "sales-process", "transaction")
"""The default: a capture need not name it."""
SHORT: Final = Board("prospecting-engaging", "prospecting", "qualify", "engaging", None)
DEFAULT_NAME: Final = "six-phase"
WON_STAGE: Final = "transaction"
KEPT_STAGE: Final = "management"
"""Where a win and a delivery lead on either board: in the short one these phases have no stage and are their own."""
