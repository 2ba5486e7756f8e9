"""Reads of leads: the state of one at any moment, lists of them, the history of one."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from services.kernel.auth import requires
from services.kernel.http import Limit, answers, strict_query
from services.kernel.placements import Placements
from services.lifecycle.past import Instant, Kinds, current, moment, standing
from services.lifecycle.stream_reads import (
    JSON,
    LISTED,
    Cursor,
    StreamId,
    Version,
    add_history,
    listed,
)
from services.lifecycle.views import LEAD_COLUMNS, Shown, lead_body, lead_shown

Filter = Annotated[str | None, Query(max_length=200)]
Phase = Literal["listed", "opportunity", "qualify", "sales_process", "transaction", "management", "upgrade"]


def leads_router(placements: Placements, kinds: Kinds, base_url: str) -> APIRouter:
    """The routes below `/v1/leads`, behind `events:read`."""
    router = APIRouter(
        tags=["leads"],
        dependencies=[
            Depends(requires("events:read")),
            Depends(strict_query),
        ],
    )

    @router.get(
        "/v1/leads", operation_id="listLeads", summary="List leads by id", response_class=Response, responses=LISTED
    )
    async def list_leads(
        request: Request,
        phase: Annotated[
            Phase | None, Query(description="In this phase, as it is shown: upgrade while one is due")
        ] = None,
        stage: Filter = None,
        outcome: Literal["open", "won", "lost"] | None = None,
        standing: Literal["running", "out", "recycled", "cancelled", "churned", "void", "absorbed"] | None = None,
        pipeline: Filter = None,
        owner: Filter = None,
        team: Filter = None,
        account: Annotated[str | None, Query(max_length=200, description="Of this account")] = None,
        person: Annotated[str | None, Query(max_length=200, description="Of this person")] = None,
        segment: Filter = None,
        anomalous: Annotated[
            Literal["true"] | None, Query(description="Only leads of which something contradicts the rest")
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        given = {
            "account_id": account, "outcome": outcome, "owner": owner, "person_id": person, "phase": phase,
            "pipeline": pipeline, "segment": segment, "stage": stage, "standing": standing, "team": team,
        }  # fmt: skip
        labels = [f"{name}={value}" for name, value in given.items() if value is not None]
        if anomalous:
            labels.append("anomalous=true")

        async def shown(row: Any) -> Shown:
            return lead_shown(*await current(placements, kinds, *row))

        return await listed(request, placements, "lead", "leads", labels, limit, cursor, shown, LEAD_COLUMNS)

    @router.get(
        "/v1/leads/{id}", operation_id="getLead", summary="The state of one lead, now or at any moment",
        response_class=Response, responses=JSON, dependencies=[Depends(answers("application/json"))],
    )  # fmt: skip
    async def get_lead(
        id: StreamId, as_of: Instant = None, known_at: Instant = None, version: Version = None
    ) -> Response:
        asked = moment(as_of, known_at, version)
        found = await standing(placements, kinds, f"lead/{id}", asked)
        headers = {"ETag": f'"{found.version}"'} if asked.is_now else {}
        return Response(lead_body(*found), media_type="application/json", headers=headers)

    add_history(router, placements, base_url, "leads", "lead", "Lead")
    return router
