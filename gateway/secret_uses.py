"""Which of a rotating project's secrets is in use still, so that an operator knows when the old one
can go.

Only projects with more than one secret come here, after a request is verified: verifying itself
tells nobody which secret it was. A secret whose use was noted within a minute is not looked at, so
this costs a MAC for each other secret that a request was not signed with.
"""

import time
from collections.abc import Callable

from core.auth import is_made_by
from core.head import Head
from gateway.api.last_used import LastUsed
from gateway.keyring import Credentials

SecretName = tuple[str, bytes]  # project, sealed form
Note = Callable[[str, Credentials, Head, bytes, bytes], None]


class SecretUses:
    """The uses that this process has seen; they are written by `last_used`."""

    def __init__(self, last_used: LastUsed[SecretName]) -> None:
        self._last_used = last_used

    def note(
        self, project: str, credentials: Credentials, head: Head, body: bytes, mac: bytes
    ) -> None:
        """A request is verified, and this is its MAC. Never waits."""
        now_ms = int(time.time() * 1000)
        assert head.timestamp is not None
        for sealed, key in credentials.named():
            name = (project, sealed)
            if self._last_used.is_fresh(name, now_ms):
                continue
            if is_made_by(key, mac, timestamp=head.timestamp, body=body):
                self._last_used.note(name, now_ms)


def note_nothing(*_of_a_request: object) -> None:
    """What notes the uses where nobody asks for them."""
