"""The usual request, in Python and compiled: each does what is told of it, and both do the same.

Where nothing is compiled, the compiled ones are not there to be tested; .ci/run sees to it that
they are.
"""

import pickle
import sys
from itertools import count
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import kernels, standing_python, usual, usual_python
from core.auth import keyed
from core.standing_python import PROJECT_BYTES_MAX, SESSION_BYTES_MAX, Standing
from tests.core.test_kernels import loaded_anew
from tests.core.usual_rig import (
    BUILT,
    EVENT,
    NOBODY,
    NOW_MS,
    PROJECTS,
    SECRET,
    SESSION,
    TWINS,
    head,
    rig,
    standing,
    twins,
)


class Other(int):
    """A number that says another one each time that it is asked."""

    def __index__(self) -> int:
        """Another one."""
        return next(NUMBERS)


NUMBERS = count(1)


def test_python_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what is compiled, or without its kernels, what is in Python is chosen."""
    assert usual.NATIVE is BUILT
    assert usual.Judge is TWINS[-1].Judge
    missing = [("core.usual_native", None), ("core.standing_native", None)]
    for name, module in (*missing, ("core.kernels", kernels)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, module)
            patch.setattr(kernels, "NATIVE", module is None and kernels.NATIVE)
            chosen = loaded_anew("core.usual")
        assert chosen.NATIVE is False
        assert chosen.Judge is usual_python.Judge
        assert chosen.Standing is standing_python.Standing


@twins
def test_standing(twin: ModuleType) -> None:
    """Its requests are usual between begin and end, and after that it is as it was before."""
    made = twin.Standing("proj_1", NOBODY, partition=3)
    for _ in range(2):
        assert (made.project, made.partition, made.name) == ("proj_1", 3, "proj_1|a")
        assert (made.is_usual, made.session, made.expires_s, made.ends_ms) == (False, "", 0.0, 0)
        for session in ("s", SESSION):
            made.begin(session, keyed(SECRET), expires_s=10.0, ends_ms=NOW_MS)
            assert (made.is_usual, made.session) == (True, session)
            assert (made.expires_s, made.ends_ms) == (10.0, NOW_MS)
        assert (made.project, made.seen) == ("proj_1", 0)
        made.end(NOBODY)


@twins
def test_places(twin: ModuleType) -> None:
    """Of as many as do not fit into one piece of memory, each has its own place; a new one in the
    place of one that is gone knows nothing of it."""
    for seen in (0, 7):
        made = standings_of(twin, *[f"proj_{number}" for number in range(10_000)])
        for at, one in enumerate(made):
            assert (one.project, one.session, one.seen) == (f"proj_{at}", "", 0)
            one.seen = seen + at
            one.begin(SESSION, keyed(SECRET), expires_s=1.0, ends_ms=1)
        assert [one.seen for one in made] == list(range(seen, seen + 10_000))
        assert {one.project for one in made} == {f"proj_{number}" for number in range(10_000)}
        del made, one  # so that the next ones get their places


@twins
def test_ids(twin: ModuleType) -> None:
    """An id that would not fit, or not stand in an entry's header, is an error that changes
    nothing."""
    longest = twin.Standing("p" * PROJECT_BYTES_MAX, NOBODY, partition=0)
    session = "s" * SESSION_BYTES_MAX
    longest.begin(session, keyed(SECRET), expires_s=10.0, ends_ms=1)
    assert (longest.project, longest.session) == ("p" * PROJECT_BYTES_MAX, session)
    for wrong in ("é", "p" * (PROJECT_BYTES_MAX + 1), "p|p", "|"):
        with pytest.raises(ValueError, match=r"ASCII"):
            twin.Standing(wrong, NOBODY, partition=0)
        with pytest.raises(ValueError, match=r"ASCII"):
            longest.begin(wrong, keyed("other"), expires_s=1.0, ends_ms=2)
        assert (longest.session, longest.expires_s) == (session, 10.0)


@twins
def test_no_key_after_the_end(twin: ModuleType) -> None:
    """Of what a project's requests were signed with nothing is left, whenever it expires."""
    known = standing(twin, "proj_1")
    found, asked = rig(twin, [known]), [("asker", head(EVENT), EVENT)]
    assert found.take(asked) == []
    known.end(NOBODY)
    assert found.take(asked) == asked
    known.begin(SESSION, NOBODY, expires_s=10.0, ends_ms=NOW_MS + 1)
    assert found.take(asked) == asked


def standings_of(twin: ModuleType, *projects: str) -> list[Standing]:
    """Of these, whose requests are not usual."""
    return [twin.Standing(project, NOBODY, partition=0) for project in projects]


@twins
def test_note(twin: ModuleType) -> None:
    """Each keeps the count that was seen last."""
    one, other = standings_of(twin, "proj_1", "")
    twin.note([one, other], [1 << 60, 3])
    assert (one.seen, other.seen) == (1 << 60, 3)
    for standings, counts in (([one], []), ([one], [1, 2])):
        with pytest.raises(ValueError, match=r"count|argument"):
            twin.note(standings, counts)


@twins
@given(st.lists(st.tuples(st.text("a:\x7f", max_size=64), st.integers(0, 1 << 50)), max_size=30))
def test_counts_as_arguments(twin: ModuleType, counts: list[tuple[str, int]]) -> None:
    """Each field's name, then its number, as RESP has bulk strings."""
    texts = [text for project, number in counts for text in (f"{project}|a", str(number))]
    expected = "".join(f"${len(text)}\r\n{text}\r\n" for text in texts)
    standings = standings_of(twin, *[project for project, _ in counts])
    numbers = [number for _, number in counts]
    made = twin.counts_as_arguments(dict(zip(standings, numbers, strict=True)))
    assert made == expected.encode()


@twins
@given(st.lists(st.tuples(st.sampled_from("PPPGDD"), st.integers(0, 149)), max_size=400))
def test_directory(twin: ModuleType, steps: list[tuple[str, int]]) -> None:
    """Whatever is put, dropped and asked for, it finds what a dictionary finds."""
    directory, expected = twin.Directory(), {}
    for step, number in steps:
        name = PROJECTS[number].encode()
        if step == "P":
            expected[name] = standing(twin, PROJECTS[number])
            directory.put(expected[name])
        elif step == "D":
            expected.pop(name, None)
            directory.drop(name)
        assert directory.get(name) is expected.get(name)
        assert len(directory) == len(expected)
    for project in PROJECTS:
        assert directory.get(project.encode()) is expected.get(project.encode())


@twins
def test_directory_that_is_half_full(twin: ModuleType) -> None:
    """Where many projects belong in one place, each is found until it is dropped."""
    directory = twin.Directory()
    projects = [f"p{number}" for number in range(255)]  # as many as fit before it grows
    for project in projects:
        directory.put(standing(twin, project))
    while projects:
        directory.drop(projects.pop(len(projects) // 2).encode())
        assert all(directory.get(project.encode()) for project in projects)
    assert len(directory) == 0


@twins
def test_directory_holds_what_it_finds(twin: ModuleType) -> None:
    """Each standing is held once for as long as it is there, and let go then."""
    directory = twin.Directory()
    made = [standing(twin, project) for project in PROJECTS]

    def held() -> list[int]:
        return [sys.getrefcount(made[at]) - before for at in range(len(made))]

    before = sys.getrefcount(made[0])
    for at in [*range(150), *range(150)]:
        directory.put(made[at])
    assert held() == [1] * 150
    directory.put(standing(twin, PROJECTS[0]))
    directory.drop(PROJECTS[1].encode())
    assert held() == [0, 0] + [1] * 148
    del directory
    assert held() == [0] * 150


@twins
@given(
    st.binary(max_size=50),
    st.lists(st.binary(max_size=200), max_size=5),
    st.integers(0, 1 << 40),
)
def test_responses(twin: ModuleType, before: bytes, answers: list[bytes], number: int) -> None:
    """Head, the request's id, the body's length, and the body."""
    expected = []
    for at, body in enumerate(answers):
        end = b"req_%d\r\nContent-Length: %d\r\n\r\n" % (number + at, len(body))
        expected.append(before + end + body)
    ones = [(None, "evt_1", answer) for answer in answers]
    assert twin.responses(before, ("req_", number), ones) == expected


@twins
def test_ids_of_requests_are_ascii(twin: ModuleType) -> None:
    """What would need more than a byte is an error."""
    with pytest.raises(ValueError, match=r"ASCII|ascii"):
        twin.responses(b"", ("é", 1), [(None, "evt_1", b"")])


@twins
def test_not_pickled(twin: ModuleType) -> None:
    """What a standing is made of is a secret."""
    if twin is not TWINS[0]:
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(standing(twin, "proj_1"))


UNUSUAL = usual.Standing("proj_1", NOBODY, partition=0)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        pytest.param("note", ((), ()), id="tuples of standings"),
        pytest.param("note", ([1], [1]), id="a number for a standing"),
        pytest.param("counts_as_arguments", ({"a": 1},), id="a text for a standing"),
        pytest.param("counts_as_arguments", ({UNUSUAL: -1},), id="less than nothing"),
        pytest.param("counts_as_arguments", ({UNUSUAL: Other()},), id="one that changes"),
        pytest.param("responses", (b"", ("", 1), [1]), id="a number for a request"),
        pytest.param("responses", (b"", ("", 1), [(1, "a")]), id="no answer"),
        pytest.param("responses", (b"", ("", 1), [(1, "a", None)]), id="none for an answer"),
        pytest.param("responses", (b"", ("", 1), [(1, "a", "b")]), id="text for an answer"),
        pytest.param("responses", (b"", ("", -1), []), id="a number under none"),
        pytest.param("responses", (b"", (b"", 1), []), id="bytes for a text"),
        pytest.param("responses", ("", ("", 1), []), id="text for a head"),
    ],
)
def test_what_is_compiled_checks_its_arguments(
    function: str, arguments: tuple[object, ...]
) -> None:
    """What would lead outside of a buffer is an error, and no access."""
    for native in TWINS[1:]:
        with pytest.raises((TypeError, ValueError)):
            getattr(native, function)(*arguments)


def test_what_is_compiled_checks_what_a_standing_begins_with() -> None:
    """The same of a standing's ids and key."""
    for native in TWINS[1:]:
        for project, nobody in ((b"a", NOBODY), (None, NOBODY), ("a", None), ("a", b"")):
            with pytest.raises(TypeError):
                native.Standing(project, nobody, partition=0)
        made = native.Standing("proj_1", NOBODY, partition=0)
        with pytest.raises(TypeError):
            made.end(None)
        for session, key in ((b"s", keyed(SECRET)), (None, keyed(SECRET)), ("s", None), ("s", 1)):
            with pytest.raises(TypeError):
                made.begin(session, key, expires_s=1.0, ends_ms=1)


@pytest.mark.parametrize("name", ["Standing", "Judge"])
def test_nothing_is_made_without_its_arguments(name: str) -> None:
    """There is no way around what checks them."""
    for native in TWINS[1:]:
        kind = getattr(native, name)
        with pytest.raises(TypeError):
            kind.__new__(kind)
