"""What goes back to the producer: status, headers and body, for any transport to write."""

from typing import NamedTuple

import orjson

from core.body import Form
from core.errors import NotAccepted
from gateway.admission import Accepted

JSON = "application/json"


class Answer(NamedTuple):
    """A response, less what its transport adds."""

    status: int
    headers: dict[str, str]
    body: bytes
    code: str  # of the reason, or "accepted"


def accepted(result: Accepted) -> Answer:
    """202: one event's id, or the ids of a batch and what was wrong with the others."""
    if result.form is Form.SINGLE:
        content: dict[str, object] = {"eventId": result.event_ids[0]}
    else:
        content = {
            "accepted": len(result.event_ids),
            "eventIds": result.event_ids,
            "rejected": [
                {"index": refusal.index, "error": refusal.sentence, "code": refusal.reason.code}
                for refusal in result.refused
            ],
        }
    content |= {"sessionId": result.session_id, "status": "accepted"}
    headers = {"Content-Type": JSON, "X-Contox-Durability": result.durability}
    return Answer(202, headers, orjson.dumps(content), "accepted")


def not_accepted(error: NotAccepted) -> Answer:
    """The status, code and sentence of a reason, with Retry-After where waiting helps."""
    headers = {"Content-Type": JSON}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    body = orjson.dumps({"error": error.sentence, "code": error.reason.code})
    return Answer(error.reason.status, headers, body, error.reason.code)
