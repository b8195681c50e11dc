"""Sealed secrets: opened by their key for their project, and by nothing else."""

import pytest

from store.sealing import Sealer, SealError

SEALER = Sealer(bytes(32))


def test_opens_what_was_sealed() -> None:
    """A sealed secret opens to itself, and does not show."""
    sealed = SEALER.seal("whsec_ü", project_id="proj_1")
    assert "whsec" not in repr(sealed)
    assert SEALER.open(sealed, project_id="proj_1") == "whsec_ü"


def test_different_each_time() -> None:
    """The same secret sealed twice looks different."""
    assert SEALER.seal("a", project_id="p") != SEALER.seal("a", project_id="p")


@pytest.mark.parametrize("at", [0, 1, 12, 13, -1])
def test_damage(at: int) -> None:
    """A changed byte anywhere does not open."""
    sealed = bytearray(SEALER.seal("whsec", project_id="proj_1"))
    sealed[at] ^= 1
    with pytest.raises(SealError, match="proj_1"):
        SEALER.open(bytes(sealed), project_id="proj_1")


@pytest.mark.parametrize("size", [0, 1, 12, 20])
def test_cut_short(size: int) -> None:
    """What is too short to be sealed does not open."""
    sealed = SEALER.seal("whsec", project_id="proj_1")[:size]
    with pytest.raises(SealError):
        SEALER.open(sealed, project_id="proj_1")


def test_other_project_and_other_key() -> None:
    """A secret moved to another project, or under another key, does not open."""
    sealed = SEALER.seal("whsec", project_id="proj_1")
    with pytest.raises(SealError):
        SEALER.open(sealed, project_id="proj_2")
    with pytest.raises(SealError):
        Sealer(b"x" * 32).open(sealed, project_id="proj_1")
