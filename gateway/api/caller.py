"""Who asks, once that is known."""

from dataclasses import dataclass
from enum import Enum

from core.users import ADMIN


class Via(Enum):
    """How a caller has shown who it is."""

    KEY = "key"
    COOKIE = "cookie"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, or whoever has the operator's token, who is an admin and no user."""

    via: Via
    role: str
    user_id: str | None = None  # None: the operator's token
    email: str | None = None
    key_id: str | None = None  # of the key that was shown
    sign_in: str | None = None  # the cookie's token

    @property
    def is_admin(self) -> bool:
        """Whether everything may be seen and changed."""
        return self.role == ADMIN

    def may(self, owner_id: str | None) -> bool:
        """Whether what this user owns may be seen and changed; None: nobody owns it."""
        return self.is_admin or (owner_id is not None and owner_id == self.user_id)


OPERATOR = Caller(Via.OPERATOR, ADMIN)
