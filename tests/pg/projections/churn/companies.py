"""A small company whose figures can be worked out by hand."""

from typing import Any

from tests.unit.projections.histories import Log


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def _full(at: str) -> str:
    """With seconds, which the schema wants."""
    return at if at.count(":") > 1 else at.replace("Z", ":00Z")


def captured(log: Log, lead: str, at: str, **data: Any) -> None:
    log.post(lead, "LeadCaptured", at, at, source_channel=data.pop("channel", "web"), **data)


def won(
    log: Log, lead: str, at: str, *contracts: tuple[str, dict[str, str]], recorded: str | None = None, **data: Any
) -> None:
    """A win with contracts (id, MRR) that begin with it."""
    sold = [{"contract_id": id, "mrr": mrr} for id, mrr in contracts]
    log.post(lead, "Won", at, recorded or at, value=eur("1200"), contracts=sold, **data)


def changed(log: Log, lead: str, contract: str, at: str, mrr: dict[str, str], recorded: str | None = None) -> None:
    log.post(lead, "ContractChanged", at, recorded or at, contract_id=contract, mrr=mrr, effective_at=_full(at))


def churned(log: Log, lead: str, at: str, recorded: str | None = None, **data: Any) -> None:
    given = {"reason": "price", "voluntary": True, **data}
    log.post(lead, "Churned", at, recorded or at, effective_at=_full(at), **given)


def reactivated(log: Log, lead: str, at: str, mrr: dict[str, str], **data: Any) -> None:
    log.post(lead, "Reactivated", at, at, mrr=mrr, effective_at=_full(at), **data)


def company() -> Log:
    """Of 2025, all at ten o'clock UTC on the day named.

    acme: L-1 (partition of its own) brings 100 EUR from 10 January, 150 from 10 February; L-2 adds 50 on 5 February and ends on
    20 March. globex: L-3 brings 200 EUR from 15 January, leaves on 15 February and is back with 80 on 15 April. L-4 has no account:
    10 USD from 1 February. L-5 was won on 3 February and reopened on 1 March; L-6 was won on 4 February and voided on 2 March.
    """
    log = Log()
    for lead, data in (
        ("L-1", {"account_id": "acme", "owner": "ana"}),
        ("L-2", {"account_id": "acme", "owner": "ben", "channel": "phone"}),
        ("L-3", {"account_id": "globex", "owner": "ben"}),
        ("L-4", {"owner": "ana"}),
        ("L-5", {"account_id": "initech", "owner": "ana"}),
        ("L-6", {"account_id": "umbrella", "owner": "ana"}),
    ):
        captured(log, lead, "2025-01-02T10:00Z", **data)
    won(log, "L-1", "2025-01-10T10:00Z", ("C-1", eur("100")))
    won(log, "L-3", "2025-01-15T10:00Z", ("C-3", eur("200")))
    won(log, "L-4", "2025-02-01T10:00Z", ("C-4", usd("10")))
    won(log, "L-5", "2025-02-03T10:00Z", ("C-5", eur("1000")))
    won(log, "L-6", "2025-02-04T10:00Z", ("C-6", eur("1000")))
    won(log, "L-2", "2025-02-05T10:00Z", ("C-2", eur("50")))
    changed(log, "L-1", "C-1", "2025-02-10T10:00Z", eur("150"))
    churned(log, "L-3", "2025-02-15T10:00Z", reason="support")
    log.post("L-5", "Reopened", "2025-03-01T10:00Z", "2025-03-01T10:00Z", reason="not signed after all")
    log.post("L-6", "Voided", "2025-03-02T10:00Z", "2025-03-02T10:00Z", reason="a duplicate")
    churned(log, "L-2", "2025-03-20T10:00Z")
    reactivated(log, "L-3", "2025-04-15T10:00Z", eur("80"))
    return log
