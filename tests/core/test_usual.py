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
from core.codec import opening
from core.standing_python import OPENING_BYTES_MAX, TALLY_BYTES_MAX
from tests.core.test_kernels import loaded_anew
from tests.core.usual_rig import (
    BUILT,
    NOW_MS,
    PROJECTS,
    SECRET,
    SESSION,
    TWINS,
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
def test_tally(twin: ModuleType) -> None:
    """It has a name, and the count that was seen last."""
    tally, other = twin.Tally("proj_1|a"), twin.Tally("")
    assert (tally.name, tally.seen, other.name) == ("proj_1|a", 0, "")
    twin.note([tally, other], [1 << 60, 3])
    assert (tally.seen, other.seen) == (1 << 60, 3)
    for tallies, counts in (([tally], []), ([tally], [1, 2])):
        with pytest.raises(ValueError, match=r"count|argument"):
            twin.note(tallies, counts)
    assert twin.Tally("a" * TALLY_BYTES_MAX).name == "a" * TALLY_BYTES_MAX
    for name in ("a" * (TALLY_BYTES_MAX + 1), "é"):
        with pytest.raises(ValueError, match="ASCII"):
            twin.Tally(name)


@twins
@given(st.lists(st.tuples(st.text("a:\x7f", max_size=66), st.integers(0, 1 << 50)), max_size=30))
def test_counts_as_arguments(twin: ModuleType, counts: list[tuple[str, int]]) -> None:
    """Each name, then its number, as RESP has bulk strings."""
    texts = [text for pair in counts for text in map(str, pair)]
    expected = "".join(f"${len(text)}\r\n{text}\r\n" for text in texts)
    made = twin.counts_as_arguments({twin.Tally(name): number for name, number in counts})
    assert made == expected.encode()


@twins
def test_standing(twin: ModuleType) -> None:
    """It holds what it was made with; what an entry's header begins with is made of that."""
    made = standing(twin, "proj_1", partition=3)
    assert (made.project, made.session, made.partition) == ("proj_1", SESSION, 3)
    assert (made.expires_s, made.ends_ms) == (10.0, NOW_MS + 1)
    assert made.tally.name == "proj_1|a"
    assert made.opening == opening("proj_1", SESSION)
    longest = "p" * (OPENING_BYTES_MAX - 4 - len(SESSION) - len("|"))
    assert len(standing(twin, longest[:64]).opening) <= OPENING_BYTES_MAX
    key, tally = keyed(SECRET), twin.Tally("")
    for project, session in (("é", SESSION), ("p", "é"), ("p" * 40, "s" * 80), ("p", "s|s")):
        with pytest.raises(ValueError, match=r"ASCII|bar"):
            twin.Standing(project, session, key, tally, partition=0, expires_s=0.0, ends_ms=0)


@twins
@given(st.lists(st.tuples(st.sampled_from("PPPGDDX"), st.integers(0, 149)), max_size=400))
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
        elif step == "X" and number < 20:
            expected.clear()
            directory.clear()
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
    directory.clear()
    for at in range(150):
        directory.put(made[at])
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
@pytest.mark.parametrize("kind", ["Standing", "Tally"])
def test_not_pickled(twin: ModuleType, kind: str) -> None:
    """What a standing is made of is a secret."""
    if twin is not TWINS[0]:
        one = standing(twin, "proj_1")
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(one if kind == "Standing" else one.tally)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        pytest.param("Tally", (b"a",), id="bytes for a name"),
        pytest.param("Tally", (None,), id="no name"),
        pytest.param("note", ((), ()), id="tuples of tallies"),
        pytest.param("note", ([1], [1]), id="a number for a tally"),
        pytest.param("counts_as_arguments", ({"a": 1},), id="a text for a tally"),
        pytest.param("counts_as_arguments", ({usual.Tally("a"): -1},), id="less than nothing"),
        pytest.param("counts_as_arguments", ({usual.Tally("a"): Other()},), id="one that changes"),
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


@pytest.mark.parametrize("name", ["Tally", "Standing", "Judge"])
def test_nothing_is_made_without_its_arguments(name: str) -> None:
    """There is no way around what checks them."""
    for native in TWINS[1:]:
        kind = getattr(native, name)
        with pytest.raises(TypeError):
            kind.__new__(kind)
