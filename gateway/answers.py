"""What goes back to the producer: status, headers and body, for any transport to write."""

from functools import lru_cache

import msgspec
import orjson

from core.body import Form
from core.errors import NotAccepted, Reason
from gateway.admission import Admitted

JSON = "application/json"
SINGLE, ENVELOPE = Form.SINGLE, Form.ENVELOPE
ANSWER_OF_ONE = '{"eventId":"', '","sessionId":"', '","status":"accepted"}'  # ids need no escapes


class Kind:
    """What answers of one kind have alike. Compared by identity: there is one object per kind."""

    __slots__ = ("code", "headers", "status")

    def __init__(self, status: int, code: str, headers: dict[str, str]) -> None:
        """code: of the reason, or "accepted"."""
        self.status = status
        self.code = code
        self.headers = {"Content-Type": JSON, **headers}


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A response, less what its transport adds."""

    kind: Kind
    body: bytes


def accepted(admitted: Admitted, durability: str) -> Answer:
    """202: one event's id, or the ids of a batch and what was wrong with the others."""
    kind = accepted_kind(durability)
    ids, session = admitted.event_ids, admitted.entry.session
    form = admitted.entry.form
    if form is SINGLE or form is ENVELOPE:
        before, between, after = ANSWER_OF_ONE
        return Answer(kind, f"{before}{ids[0]}{between}{session}{after}".encode())
    content = {
        "accepted": len(ids),
        "eventIds": ids,
        "rejected": [
            {"index": refusal.index, "error": refusal.sentence, "code": refusal.reason.code}
            for refusal in admitted.refused
        ],
        "sessionId": session,
        "status": "accepted",
    }
    return Answer(kind, orjson.dumps(content))


def not_accepted(error: NotAccepted) -> Answer:
    """The status, code and sentence of a reason, with Retry-After where waiting helps."""
    body = orjson.dumps({"error": error.sentence, "code": error.reason.code})
    return Answer(_refused(error.reason, error.retry_after_s), body)


@lru_cache(16)
def accepted_kind(durability: str) -> Kind:
    """What every 202 of this durability has."""
    return Kind(202, "accepted", {"X-Contox-Durability": durability})


@lru_cache(1024)
def _refused(reason: Reason, retry_after_s: int | None) -> Kind:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Kind(reason.status, reason.code, headers)
