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
from core.kernels import Key
from gateway.api.last_used import LastUsed
from gateway.keyring import Credentials

SecretName = tuple[str, bytes]  # project, sealed form
Note = Callable[[str, Credentials, Head, bytes, bytes], None]
NoteMadeBy = Callable[[str, Credentials, Callable[[Key], bool]], None]


class SecretUses:
    """The uses that this process has seen; they are written by `last_used`."""

    def __init__(self, last_used: LastUsed[SecretName]) -> None:
        self._last_used = last_used

    def note(
        self, project: str, credentials: Credentials, head: Head, body: bytes, mac: bytes
    ) -> None:
        """A request is verified, and this is its MAC. Never waits."""
        timestamp = head.timestamp
        assert timestamp is not None
        self.note_made_by(
            project,
            credentials,
            lambda key: is_made_by(key, mac, timestamp=timestamp, body=body),
        )

    def note_made_by(
        self, project: str, credentials: Credentials, is_made: Callable[[Key], bool]
    ) -> None:
        """Something is verified. is_made: whether that was by this key. Never waits."""
        now_ms = int(time.time() * 1000)
        for sealed, key in credentials.named():
            name = (project, sealed)
            if not self._last_used.is_fresh(name, now_ms) and is_made(key):
                self._last_used.note(name, now_ms)


def note_nothing(*_of_a_request: object) -> None:
    """What notes the uses where nobody asks for them."""
