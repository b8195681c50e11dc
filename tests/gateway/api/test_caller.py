"""What a caller may."""

import pytest

from gateway.api.caller import OPERATOR, Caller, Via

ADMIN = Caller(Via.KEY, "admin", "user_1", "ada@example.com")
MEMBER = Caller(Via.COOKIE, "member", "user_2", "bob@example.com")


@pytest.mark.parametrize(
    ("caller", "owner_id", "may"),
    [
        (ADMIN, "user_2", True),
        (ADMIN, None, True),
        (OPERATOR, "user_2", True),
        (OPERATOR, None, True),
        (MEMBER, "user_2", True),
        (MEMBER, "user_1", False),
        (MEMBER, None, False),
    ],
)
def test_may(caller: Caller, owner_id: str | None, may: bool) -> None:
    """An admin may everything, a member what they own; what nobody owns is for admins."""
    assert caller.may(owner_id) is may


def test_operator_owns_nothing() -> None:
    """The operator's token is no user, so that what nobody owns is not its own by accident."""
    assert (OPERATOR.user_id, OPERATOR.is_admin) == (None, True)
    assert Caller(Via.OPERATOR, "member").may(None) is False
