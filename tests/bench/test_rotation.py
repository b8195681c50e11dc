"""A rotation under load, at a rate that a busy machine holds."""

from bench.rotation import is_right, measure


def test_rotation(no_settings: None) -> None:
    """Nothing is refused while both secrets verify; after the grace all old signatures are."""
    found = measure(rate_s=300, grace_s=3)
    assert is_right(found), found
    assert min(found["signed"].values()) > 100


def test_is_right() -> None:
    """One refusal too many, or one too few, is not right."""
    found = {
        "signed": {"old": 5, "new": 3, "old, after the grace": 2},
        "accepted": 8,
        "answers": {"401 unauthorized": 2},
        "wrong": {},
        "lost": 0,
    }
    assert is_right(found)
    assert not is_right({**found, "accepted": 7, "answers": {"401 unauthorized": 3}})
    assert not is_right({**found, "answers": {"401 unauthorized": 1}})
    assert not is_right({**found, "lost": 1})
    assert not is_right({**found, "wrong": {"old secret: 202": 1}})
