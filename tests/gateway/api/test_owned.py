"""Whose a project is, and what a query holds."""

import pytest

from core.errors import Reason, Rejected
from core.ports import Project, SealedSecret
from core.testing import MemoryProjects
from gateway.api.caller import OPERATOR, Caller, Via
from gateway.api.owned import optional, owned, wanted

ADA = Caller(Via.KEY, "admin", "user_ada")
BOB = Caller(Via.KEY, "member", "user_bob")
EVE = Caller(Via.COOKIE, "member", "user_eve")


@pytest.mark.parametrize(
    ("caller", "project", "may"),
    [
        (BOB, "proj_bob", True),
        (ADA, "proj_bob", True),
        (OPERATOR, "proj_bob", True),
        (EVE, "proj_bob", False),
        (EVE, "proj_nobody", False),
        (ADA, "proj_nobody", True),
        (ADA, "proj_none", False),
        (ADA, "bob", False),
        (ADA, "a b", False),
    ],
)
async def test_owned(caller: Caller, project: str, may: bool) -> None:
    """A project is its owner's and admins'; to others it is not there, like one that is not."""
    projects = MemoryProjects()
    for owner in ("user_bob", None):
        identity = "proj_" + (owner or "user_nobody").removeprefix("user_")
        made = Project(identity, "bob", "active", 1, 1, owner)
        await projects.create(made, SealedSecret(b"", None))
    if may:
        assert (await owned(projects, caller, project)).id == project
        return
    with pytest.raises(Rejected) as refused:
        await owned(projects, caller, project)
    assert (refused.value.reason, refused.value.sentence) == (
        Reason.NOT_FOUND,
        "There is no such project",
    )


def test_query() -> None:
    """A value is right, not there, or a 400 that says what it must be."""
    assert optional({"a": "1"}, "a", str.isdigit, "digits") == "1"
    assert optional({"a": ""}, "a", str.isdigit, "digits") is None
    assert optional({}, "a", str.isdigit, "digits") is None
    assert wanted({"a": "1"}, "a", str.isdigit, "digits") == "1"
    for ask, query in (
        (optional, {"a": "x"}),
        (wanted, {"a": "x"}),
        (wanted, {"a": ""}),
        (wanted, {}),
    ):
        with pytest.raises(Rejected, match="`a` must be digits") as refused:
            ask(query, "a", str.isdigit, "digits")
        assert refused.value.reason is Reason.BAD_REQUEST
