"""Why an event was not taken: one closed table, and three errors split by who must act.

`Rejected`     the sender must act: send something else, or sign it right.
`Unavailable`  time must act: the same request succeeds later.
`Refused`      an operator must act: the event is kept as a dead letter.

Anything else that is raised is a bug and is allowed to crash loudly.
"""

from enum import Enum, StrEnum


class Reason(Enum):
    """A reason is the body's `code`, the metric's label, the log field and the test's id in one."""

    BAD_REQUEST = "bad_request", 400, "The request is not valid HTTP"
    INVALID_JSON = "invalid_json", 400, "The body is not valid JSON"
    INVALID_EVENT = "invalid_event", 400, "The event is not valid"
    EMPTY_BATCH = "empty_batch", 400, "The batch holds no event"
    UNAUTHORIZED = "unauthorized", 401, "Invalid or missing authentication credentials"
    FORBIDDEN = "forbidden", 403, "The project is disabled"
    NOT_FOUND = "not_found", 404, "There is nothing at this path"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "This path does not take this method"
    REQUEST_TIMEOUT = "request_timeout", 408, "The body did not arrive in time"
    CONFLICT = "conflict", 409, "It is in the way of what exists already"
    TOO_LARGE = "too_large", 413, "The request is too large"
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        415,
        "Send application/json or application/x-ndjson, as it is or encoded with gzip or zstd",
    )
    RATE_LIMITED = "rate_limited", 429, "The project's quota is used up; retry later"
    INTERNAL = "internal_error", 500, "The gateway failed; the event was not taken"
    QUEUE_UNAVAILABLE = "queue_unavailable", 503, "The queue cannot be reached; retry later"
    BACKLOG_FULL = "backlog_full", 503, "The backlog is full; retry later"
    OVERLOADED = "overloaded", 503, "Too much is in flight; retry later"
    SHUTTING_DOWN = "shutting_down", 503, "The gateway is shutting down; retry elsewhere"

    def __init__(self, code: str, status: int, sentence: str) -> None:
        self.code = code
        self.status = status
        self.sentence = sentence


class AuthFailure(StrEnum):
    """What an operator sees of a 401; the client sees the same answer for every one of them."""

    MISSING_HEADER = "missing_header"
    DUPLICATE_HEADER = "duplicate_header"
    BAD_TIMESTAMP = "bad_timestamp"
    OUTSIDE_WINDOW = "outside_window"
    UNKNOWN_PROJECT = "unknown_project"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_SIGN_IN = "unknown_sign_in"
    BAD_PASSWORD = "bad_password"  # noqa: S105 - the name of a failure
    DISABLED_USER = "disabled_user"


class NotAccepted(Exception):
    """An answer other than 202. `sentence` is for the client and never says why a 401 is one."""

    def __init__(self, reason: Reason, sentence: str = "", *, retry_after_s: int | None = None):
        self.reason = reason
        self.sentence = sentence or reason.sentence
        self.retry_after_s = retry_after_s
        super().__init__(self.sentence)


class Rejected(NotAccepted):
    """The sender must act. `failure` is for operators: the cause of a 401."""

    def __init__(
        self,
        reason: Reason,
        sentence: str = "",
        *,
        retry_after_s: int | None = None,
        failure: AuthFailure | None = None,
    ):
        super().__init__(reason, sentence, retry_after_s=retry_after_s)
        self.failure = failure


class Unavailable(NotAccepted):
    """Time must act: nothing is wrong with the request, and it is safe to send it again."""

    def __init__(
        self,
        reason: Reason = Reason.QUEUE_UNAVAILABLE,
        sentence: str = "",
        *,
        retry_after_s: int = 1,
    ):
        super().__init__(reason, sentence, retry_after_s=retry_after_s)


class Refused(Exception):
    """An operator must act: this event cannot be stored; `why` goes into its dead letter."""

    def __init__(self, why: str):
        self.why = why
        super().__init__(why)


def unauthorized(failure: AuthFailure) -> Rejected:
    """The one 401, with its cause for operators."""
    return Rejected(Reason.UNAUTHORIZED, failure=failure)
