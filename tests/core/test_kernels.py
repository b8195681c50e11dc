"""Each kernel, in Python and compiled, does what is told of it; and both do the same on any bytes.

Where nothing is compiled, the compiled ones are not there to be tested; .ci/run sees to it that
they are.
"""

import re
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import kernels, kernels_python
from core.head import FIELD_OF, Head
from core.words import IDENTIFIER, NAME

BUILT = find_spec("core.kernels_native") is not None
TWINS = [kernels_python, *([import_module("core.kernels_native")] if BUILT else [])]
RAW = (
    b"POST /api/v2/ingest HTTP/1.1\r\n"
    b"X-Contox-Project: proj_1\r\nX-Contox-Timestamp: 1705312200\r\n"
    b"X-Contox-Signature: sha256=%b\r\nContent-Length: 774\r\nHost: x\r\n\r\n"
) % (b"0" * 64)
VALUES = [b"proj_1", b"1705312200", b"0" * 64, b"774"]
SPANS = [(RAW.index(value), RAW.index(value) + len(value)) for value in VALUES]
twins = pytest.mark.parametrize("twin", TWINS)
SOME = st.binary(max_size=200)


OTHER = RAW.replace(b"Host: x", b"Host: y"), SPANS, None, None


def values(head: Head) -> tuple[bytes | None, ...]:
    """A head's, whichever twin has made it."""
    return tuple(getattr(head, name) for name in FIELD_OF.values())


def loaded_anew(name: str) -> ModuleType:
    """A module as it is with what can be imported now."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_are_compiled_or_none() -> None:
    """What is chosen is the compiled kernels, wherever they were built."""
    assert kernels.NATIVE is BUILT
    for name in set(kernels.__all__) - {"NATIVE"}:
        assert getattr(kernels, name) is getattr(TWINS[-1], name)


def test_python_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiled kernels, those in Python are chosen."""
    monkeypatch.setitem(sys.modules, "core.kernels_native", None)
    chosen = loaded_anew("core.kernels")
    assert chosen.NATIVE is False
    assert chosen.Key is kernels_python.Key


@twins
@pytest.mark.parametrize("buffer", [RAW, bytearray(RAW)])
def test_head(twin: ModuleType, buffer: bytes | bytearray) -> None:
    """A head is read with its own values, wherever it begins, and the kinds are the template's."""
    template = twin.HeadTemplate(RAW, SPANS, b"application/json", None)
    then = (
        buffer.replace(b"proj_1", b"a:B-_.").replace(b"774", b"009").replace(b"0" * 64, b"aZ" * 32)
    )
    head = twin.Head(b"a:B-_.", b"1705312200", b"sha256=" + b"aZ" * 32, b"application/json", None)
    assert template.read(b"abc" + then + b"rest", 3) == (head, 9)
    assert template.read(then, 0) == (head, 9)
    later, _ = template.read(then.replace(b"1705312200", b"1705312201"), 0)
    assert later.timestamp == b"1705312201"


@given(st.integers(0, len(RAW) - 1), st.binary(min_size=1, max_size=4))
def test_heads(at: int, put: bytes) -> None:
    """Whatever is changed in a head, both read the same, or nothing."""
    changed = (RAW[:at] + put + RAW[at + len(put) :])[: len(RAW)]
    read = [twin.HeadTemplate(RAW, SPANS, None, None).read(changed, 0) for twin in TWINS]
    heads = [one and (values(one[0]), one[1]) for one in read]
    assert all(one == heads[0] for one in heads)


@twins
@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 255))
def test_bytes_of_values(twin: ModuleType, which: int, index: int, byte: int) -> None:
    """Each value is made of its own bytes, and of no others."""
    allowed = [b"[A-Za-z0-9_.:-]", b"[0-9]", b"[A-Za-z0-9]", b"[0-9]"][which]
    changed = bytearray(RAW)
    changed[SPANS[which][0] + index] = byte
    read = twin.HeadTemplate(RAW, SPANS, None, None).read(changed, 0)
    assert (read is not None) is bool(re.fullmatch(allowed, bytes([byte])))


@twins
@given(st.integers(-9, 9), st.binary(max_size=9), st.integers(770, 780))
def test_only_request(twin: ModuleType, off: int, behind: bytes, body_bytes_max: int) -> None:
    """A buffer that is one request is that one; of less, of more, or of a larger one, nothing."""
    body = b"x" * (774 + off)
    templates = {len(RAW): twin.HeadTemplate(RAW, SPANS, None, None), 1: twin.HeadTemplate(*OTHER)}
    read = twin.only_request(templates, RAW + body + behind, body_bytes_max)
    if len(body + behind) == 774 <= body_bytes_max:
        head = twin.Head(b"proj_1", b"1705312200", b"sha256=" + b"0" * 64, None, None)
        assert read == (head, body + behind)
    else:
        assert read is None


@given(st.integers(0, len(RAW) + 773), st.binary(min_size=1, max_size=4))
def test_only_requests(at: int, put: bytes) -> None:
    """Whatever is changed in a request, both read the same, or nothing."""
    changed = bytearray(RAW + b"x" * 774)
    changed[at : at + len(put)] = put
    read = [
        twin.only_request(
            {len(RAW): twin.HeadTemplate(RAW, SPANS, None, None)}, bytes(changed), 10_000
        )
        for twin in TWINS
    ]
    heads = [one and (values(one[0]), one[1]) for one in read]
    assert all(one == heads[0] for one in heads)


@twins
def test_other_buffers(twin: ModuleType) -> None:
    """What came in parts, and heads that no template reads, are for whoever looks closer."""
    templates = {len(RAW): twin.HeadTemplate(RAW, SPANS, None, None)}
    whole = RAW + b"x" * 774
    assert twin.only_request(templates, whole, 774) is not None
    assert twin.only_request(templates, bytearray(whole), 774) is None
    assert twin.only_request(templates, whole.replace(b"Host: x", b"Host: y"), 774) is None
    assert twin.only_request({}, whole, 774) is None
    assert twin.only_request(templates, RAW[:-4] + b"x" * 774, 774) is None


@twins
def test_values_of_heads(twin: ModuleType) -> None:
    """A head has five values; heads are alike if all of them are."""
    head = twin.Head(signature=b"s")
    assert values(head) == (None, None, b"s", None, None)
    assert head == twin.Head(None, None, b"s")
    assert head != twin.Head(b"p", None, b"s")
    assert head != 1
    assert hash(head) == hash(twin.Head(None, None, b"s"))
    assert "b's'" in repr(head)
    with pytest.raises(AttributeError):
        head.project = b"p"


@twins
@given(st.binary(max_size=300) | st.text("ab{}[]\x7f\x80é", max_size=60).map(str.encode))
def test_openings(twin: ModuleType, text: bytes) -> None:
    """What opens is counted, whatever else there is."""
    assert twin.openings(text) == text.count(b"{") + text.count(b"[")


@twins
@given(
    st.text(max_size=3) | st.sampled_from(["a" * 128, "a" * 129, "é" * 5, "a\x80", ""]),
    st.sampled_from([b"{}", b"{", b"[]", b"1", b'"{"', b"null"]),
    st.none() | st.text(max_size=3) | st.sampled_from(["a" * 64, "a" * 65, "", "id:1", "i\ud800"]),
)
def test_is_well_formed(twin: ModuleType, name: str, payload: bytes, identity: str | None) -> None:
    """A name and an id are what core.words takes; a payload begins like an object."""
    expected = bool(NAME(name)) and payload[:1] == b"{"
    expected = expected and (identity is None or bool(IDENTIFIER(identity)))
    assert twin.is_well_formed(name, msgspec.Raw(payload), identity) is expected


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        pytest.param("Key", ("k" * 64,), id="text for a key"),
        pytest.param("Key", (None,), id="no key"),
        pytest.param("Head", ("p",), id="text for a project"),
        pytest.param("only_request", (None, RAW, 1), id="no templates"),
        pytest.param("only_request", ({1: OTHER}, RAW, 1), id="other templates"),
        pytest.param("openings", (bytearray(b"{}"),), id="bytes that may change"),
        pytest.param("is_well_formed", (b"name", msgspec.Raw(b"{}"), None), id="bytes for a name"),
        pytest.param("is_well_formed", ("name", "{}", None), id="text for a payload"),
        pytest.param("HeadTemplate", (RAW, SPANS[:3], None, None), id="three spans"),
        pytest.param("HeadTemplate", (RAW[:99], SPANS, None, None), id="spans beyond the head"),
        pytest.param("HeadTemplate", (RAW, [(0, 9), *SPANS[1:3], (3, 5)], None, None), id="inside"),
        pytest.param("HeadTemplate", (RAW, [*SPANS[:2], (2, 4), SPANS[3]], None, None), id="mark"),
        pytest.param("HeadTemplate", (RAW, [*SPANS[:3], (1, 30)], None, None), id="long length"),
    ],
)
def test_what_is_compiled_checks_its_arguments(
    function: str, arguments: tuple[object, ...]
) -> None:
    """What would lead outside of a buffer is an error, and no access."""
    for native in TWINS[1:]:
        with pytest.raises((TypeError, ValueError)):
            getattr(native, function)(*arguments)


@pytest.mark.parametrize("name", ["Key", "HeadTemplate"])
def test_nothing_is_made_without_its_arguments(name: str) -> None:
    """There is no way around what checks them."""
    for native in TWINS[1:]:
        kind = getattr(native, name)
        with pytest.raises(TypeError):
            kind.__new__(kind)


@pytest.mark.parametrize(("buffer", "at"), [(RAW[:-1], 0), (RAW, 1), (RAW, -1), (b"", 0)])
def test_short_buffers(buffer: bytes, at: int) -> None:
    """A buffer that is too short for the template's head is an error, and no access."""
    for native in TWINS[1:]:
        template = native.HeadTemplate(RAW, SPANS, None, None)
        with pytest.raises(ValueError, match="too short"):
            template.read(buffer, at)
        with pytest.raises(TypeError):
            template.read(memoryview(RAW), 0)
