"""Given what accounts of a segment have, when white space is asked for, then what most have and one has not is named."""

from tests.pg.projections.churn.companies import captured, churned, eur, won
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import FAR
from tests.unit.projections.histories import Log


async def test_what_accounts_like_it_have(projected: NewProjected) -> None:
    log = Log()
    sold = {"a": ("base", "plus"), "b": ("base", "plus"), "c": ("base",), "d": ("plus", "rare"), "e": ("base",)}
    for account, products in sold.items():
        for product in products:
            lead = f"{account}-{product}"
            segment = "smb" if account != "e" else "enterprise"
            captured(log, lead, "2025-01-01T09:00Z", account_id=account, product=product, segment=segment, owner="ana")
            won(log, lead, "2025-01-02T10:00Z", (lead, eur("1")))
    churned(log, "b-plus", "2025-06-01T10:00Z")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)

    async def found(**more: str) -> list[tuple[str, str, int]]:
        rows = await figures.rows("white_space", min_peers="2", **more)
        return [(row["account"], row["product"], row["numerator"]) for row in rows]

    assert await found(as_of="2025-02-01") == [("account/c", "plus", 3), ("account/d", "base", 3)]
    assert await found(as_of="2025-07-01", min_share="50") == [
        ("account/d", "base", 3),
        ("account/b", "plus", 2),
        ("account/c", "plus", 2),
    ]
    page = await figures.answer("white_space", FAR, min_peers="2", as_of="2025-07-01", min_share="50", limit="1")
    assert page["next_after"] == ["0.750000", "account/d", "base"]
    assert await found(as_of="2025-02-01", account="c") == [("account/c", "plus", 3)]
