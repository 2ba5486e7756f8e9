"""What is asked of a correction before it is taken, beyond its schema: it must fit the event that it is about. Pure."""

from collections.abc import Sequence

from schemas.codec import flaws_in_data
from schemas.corrections import is_correction, target
from schemas.events.corrections import EventCorrected
from schemas.fact import Fact
from services.kernel.errors import Flaw, Invalid


def refuse_misfit(fact: Fact, facts: Sequence[Fact]) -> None:
    """Raise Invalid where the data of an EventCorrected do not fit the type of an event that is stored.

    A correction of an event that has not arrived is kept: it waits for it, and the fold says so.
    """
    body = fact.body
    if not isinstance(body, EventCorrected):
        return
    about = next((each for each in facts if each.ref == target(body)), None)
    if about is None:
        return
    if is_correction(about.body):
        raise _refused("/data/corrects", "names a correction; retract it, and send the right one")
    flaws = [Flaw(f"/data/data{pointer}", detail) for pointer, detail in flaws_in_data(about.type, body.data)]
    if flaws:
        raise Invalid(f"The data do not fit a {about.type}.", errors=flaws)


def _refused(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[Flaw(pointer, detail)])
