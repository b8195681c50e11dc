"""The five request headers that admission reads, gathered by whichever transport serves the
request.

Names are matched without regard to case (RFC 9110, section 5.1). A repeated content header is
joined with a comma as section 5.3 says, which no supported value contains, so it is refused later,
in the order of checks. A repeated authentication header is refused here: which of two would count
is a question that attackers ask.
"""

from collections.abc import Iterable

from core.errors import AuthFailure, unauthorized
from core.kernels import Head

__all__ = ["FIELD_OF", "Head", "read_head"]


FIELD_OF = {  # in the order of the fields
    b"x-contox-project": "project",
    b"x-contox-timestamp": "timestamp",
    b"x-contox-signature": "signature",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
}
ONCE = frozenset({"project", "timestamp", "signature"})


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Gather the headers of one request.

    headers: (name, value) pairs as received, in any case and order.
    Raises Rejected (unauthorized) if an authentication header comes twice.
    """
    found: dict[str, bytes] = {}
    for name, value in headers:
        field = FIELD_OF.get(name.lower())
        if field is None:
            continue
        if field in found:
            if field in ONCE:
                raise unauthorized(AuthFailure.DUPLICATE_HEADER)
            found[field] += b", " + value
        else:
            found[field] = value
    return Head(**found)
