"""The subscriber's kit: what a program of another system needs to post events safely and to follow the log exactly.

    from services.client import Door, event, id_of          # post
    from services.client import subscribe, SqliteCheckpoint # follow

It imports `schemas` and nothing of the services. How to use it, and how to do without it: docs/subscribe.md.
"""

from services.client.answers import Answer, Flaw, InLog, Known, Refused, Stored
from services.client.batch import Batch, Received
from services.client.blocking import BlockingDoor
from services.client.checkpoint import BEGINNING, Checkpoint, MemoryCheckpoint, Place, SqliteCheckpoint
from services.client.door import Door
from services.client.errors import Away, Diverged, Fenced, KeyRefused, KitError, NoAnswer, NotTheService
from services.client.feed import Feed, Page
from services.client.lag import Lag
from services.client.outgoing import Outgoing, event, id_of
from services.client.subscription import Subscription, subscribe
from services.client.topic import Topic

__all__ = [
    "BEGINNING",
    "Answer",
    "Away",
    "Batch",
    "BlockingDoor",
    "Checkpoint",
    "Diverged",
    "Door",
    "Feed",
    "Fenced",
    "Flaw",
    "InLog",
    "KeyRefused",
    "KitError",
    "Known",
    "Lag",
    "MemoryCheckpoint",
    "NoAnswer",
    "NotTheService",
    "Outgoing",
    "Page",
    "Place",
    "Received",
    "Refused",
    "SqliteCheckpoint",
    "Stored",
    "Subscription",
    "Topic",
    "event",
    "id_of",
    "subscribe",
]
