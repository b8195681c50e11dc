"""The table of reasons against PROTOCOL.md's, row by row, and what each error carries."""

import pytest

from core.errors import (
    AuthFailure,
    NotAccepted,
    Reason,
    Refused,
    Rejected,
    Unavailable,
    unauthorized,
)

STATUS = {
    "bad_request": 400,
    "invalid_json": 400,
    "invalid_event": 400,
    "empty_batch": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal_error": 500,
    "queue_unavailable": 503,
    "backlog_full": 503,
    "overloaded": 503,
    "shutting_down": 503,
}


def test_reasons_are_the_protocols() -> None:
    """Each code has the status that the protocol gives it, and there are no other codes."""
    assert {reason.code: reason.status for reason in Reason} == STATUS


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.code)
def test_every_reason_has_its_own_sentence(reason: Reason) -> None:
    """A reason's sentence is for a person: not empty, and not that of another reason."""
    assert [other for other in Reason if other.sentence == reason.sentence] == [reason]
    assert reason.sentence[0].isupper()


@pytest.mark.parametrize("failure", AuthFailure)
def test_unauthorized_does_not_tell_why(failure: AuthFailure) -> None:
    """Every cause of a 401 has the same answer; only operators see which it was."""
    error = unauthorized(failure)
    assert (error.reason, error.failure) == (Reason.UNAUTHORIZED, failure)
    assert error.sentence == str(error) == "Invalid or missing authentication credentials"


def test_error_says_its_reasons_sentence_unless_given_one() -> None:
    """An error without a sentence of its own has its reason's."""
    assert Rejected(Reason.EMPTY_BATCH).sentence == "The batch holds no event"
    assert Rejected(Reason.INVALID_JSON, "Not JSON at all").sentence == "Not JSON at all"


def test_rejected_carries_when_to_retry() -> None:
    """A rejection names seconds to retry after only if it was given some."""
    assert Rejected(Reason.RATE_LIMITED, retry_after_s=7).retry_after_s == 7
    assert Rejected(Reason.INVALID_JSON).retry_after_s is None
    assert Rejected(Reason.INVALID_JSON).failure is None


def test_unavailable_asks_for_a_retry() -> None:
    """Without arguments the queue is unreachable and the request may come back in a second."""
    error = Unavailable()
    assert (error.reason, error.retry_after_s) == (Reason.QUEUE_UNAVAILABLE, 1)
    error = Unavailable(Reason.BACKLOG_FULL, "Full", retry_after_s=9)
    assert (error.reason, error.sentence, error.retry_after_s) == (Reason.BACKLOG_FULL, "Full", 9)


def test_refused_carries_why() -> None:
    """What the store refuses carries the reason for its dead letter."""
    assert Refused("too odd").why == str(Refused("too odd")) == "too odd"


def test_errors_are_split_by_who_must_act() -> None:
    """A sender's error, a passing one and an operator's are caught apart from each other."""
    assert issubclass(Rejected, NotAccepted)
    assert issubclass(Unavailable, NotAccepted)
    assert not issubclass(Rejected, Unavailable)
    assert not issubclass(Refused, NotAccepted)
