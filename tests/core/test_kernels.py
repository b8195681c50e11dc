"""Each kernel, in Python and compiled, does what is told of it; and both do the same on any bytes.

Where nothing is compiled, the compiled ones are not there to be tested; .ci/run sees to it that
they are.
"""

import hmac
import pickle
import re
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from itertools import count
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import kernels, kernels_python
from core.head import Head
from core.words import IDENTIFIER, NAME

BUILT = find_spec("core.kernels_native") is not None
TWINS = [kernels_python, *([import_module("core.kernels_native")] if BUILT else [])]
MAC = bytes(range(32))
RAW = (
    b"POST /api/v2/ingest HTTP/1.1\r\n"
    b"X-Contox-Project: proj_1\r\nX-Contox-Timestamp: 1705312200\r\n"
    b"X-Contox-Signature: sha256=%b\r\nContent-Length: 774\r\nHost: x\r\n\r\n"
) % (b"0" * 64)
VALUES = [b"proj_1", b"1705312200", b"0" * 64, b"774"]
SPANS = [(RAW.index(value), RAW.index(value) + len(value)) for value in VALUES]
twins = pytest.mark.parametrize("twin", TWINS)
SOME = st.binary(max_size=200)


class Other(int):
    """A number that says another one each time that it is asked."""

    def __index__(self) -> int:
        """Another one."""
        return next(NUMBERS)


NUMBERS = count(1)


def test_all_are_compiled_or_none() -> None:
    """What is chosen is the compiled kernels, wherever they were built."""
    assert kernels.NATIVE is BUILT
    for name in set(kernels.__all__) - {"NATIVE"}:
        assert getattr(kernels, name) is getattr(TWINS[-1], name)


def test_python_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiled kernels, those in Python are chosen."""
    monkeypatch.setitem(sys.modules, "core.kernels_native", None)
    spec = find_spec("core.kernels")
    assert spec is not None
    assert spec.loader is not None
    chosen = module_from_spec(spec)
    spec.loader.exec_module(chosen)
    assert chosen.NATIVE is False
    assert chosen.Key is kernels_python.Key


@twins
@pytest.mark.parametrize(
    ("key", "text", "mac"),
    [
        pytest.param(
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            id="case 1",
        ),
        pytest.param(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            id="case 2",
        ),
        pytest.param(
            b"\xaa" * 20,
            b"\xdd" * 50,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            id="case 3",
        ),
    ],
)
def test_vectors(twin: ModuleType, key: bytes, text: bytes, mac: str) -> None:
    """The test cases of RFC 4231, section 4."""
    assert twin.Key(key.ljust(64, b"\0")).mac_over(text).hex() == mac


@twins
@given(st.binary(min_size=64, max_size=64), SOME, st.binary(max_size=5_000))
def test_macs(twin: ModuleType, block: bytes, timestamp: bytes, body: bytes) -> None:
    """Of any key and bytes, the MAC is that of the standard library."""
    key = twin.Key(block)
    signed = timestamp + b"." + body
    mac = hmac.digest(block, signed, "sha256")
    assert key.mac(timestamp, body) == key.mac_over(signed) == mac
    signature = b"sha256=" + mac.hex().encode()
    assert key.proves(signature, timestamp, body) == mac
    assert key.proves(signature, timestamp, body + b" ") is None
    assert key.proves(signature, timestamp + b"0", body) is None


@twins
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 4_095, 4_096, 1_000_000])
def test_macs_of_all_sizes(twin: ModuleType, size: int) -> None:
    """Bodies around each bound of hashing and joining."""
    key, body = twin.Key(b"k" * 64), b"x" * size
    expected = hmac.digest(b"k" * 64, b"1705312200." + body, "sha256")
    assert key.mac(b"1705312200", body) == expected
    assert key.mac(b"1705312200", body) == expected  # nothing of a key is used up


@twins
@given(st.integers(0, 70), st.binary(max_size=3))
def test_signatures_that_differ(twin: ModuleType, at: int, put: bytes) -> None:
    """A text that is not the signature in every byte proves nothing."""
    key = twin.Key(b"k" * 64)
    signature = b"sha256=" + key.mac(b"1", b"{}").hex().encode()
    changed = signature[:at] + put + signature[at + len(put) + 1 :]
    assert (key.proves(changed, b"1", b"{}") is None) is (changed != signature)


@twins
def test_keys_are_not_pickled(twin: ModuleType) -> None:
    """What a key is made of is a secret."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(twin.Key(b"k" * 64))


@twins
@pytest.mark.parametrize("size", [0, 63, 65])
def test_blocks(twin: ModuleType, size: int) -> None:
    """A key's block has the size of a block."""
    with pytest.raises(ValueError, match="64 bytes"):
        twin.Key(b"k" * size)


@twins
@pytest.mark.parametrize("buffer", [RAW, bytearray(RAW)])
def test_head(twin: ModuleType, buffer: bytes | bytearray) -> None:
    """A head is read with its own values, wherever it begins, and the kinds are the template's."""
    template = twin.HeadTemplate(RAW, SPANS, b"application/json", None)
    then = (
        buffer.replace(b"proj_1", b"a:B-_.").replace(b"774", b"009").replace(b"0" * 64, b"aZ" * 32)
    )
    head = Head(b"a:B-_.", b"1705312200", b"sha256=" + b"aZ" * 32, b"application/json", None)
    assert template.read(b"abc" + then + b"rest", 3) == (head, 9)
    assert template.read(then, 0) == (head, 9)


@given(st.integers(0, len(RAW) - 1), st.binary(min_size=1, max_size=4))
def test_heads(at: int, put: bytes) -> None:
    """Whatever is changed in a head, both read the same, or nothing."""
    changed = (RAW[:at] + put + RAW[at + len(put) :])[: len(RAW)]
    read = [twin.HeadTemplate(RAW, SPANS, None, None).read(changed, 0) for twin in TWINS]
    assert all(one == read[0] for one in read)


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
@given(SOME, SOME, st.binary(max_size=12), st.integers(0, 1 << 40))
def test_entry_start(
    twin: ModuleType, opening: bytes, middle: bytes, stamp: bytes, body_bytes: int
) -> None:
    """The header's length, the header, the body's length: as RESP has bulk strings."""
    header = opening + middle + stamp + MAC.hex().encode()
    expected = b"$%d\r\n" % len(header) + header + b"\r\n" + b"$%d\r\n" % body_bytes
    assert twin.entry_start(opening, middle, stamp, MAC, body_bytes) == expected


@twins
@given(st.dictionaries(st.text("a:\x7f", max_size=120), st.integers(0, 1 << 50), max_size=30))
def test_counts_as_arguments(twin: ModuleType, counts: dict[str, int]) -> None:
    """Each name, then its number, as RESP has bulk strings."""
    texts = [text for pair in counts.items() for text in map(str, pair)]
    expected = "".join(f"${len(text)}\r\n{text}\r\n" for text in texts)
    assert twin.counts_as_arguments(counts) == expected.encode()
    with pytest.raises(ValueError, match=r"ASCII|ascii"):
        twin.counts_as_arguments({**counts, "é": 1})


@twins
@given(SOME, st.lists(st.text("a\x00\x7f", max_size=20), max_size=6))
def test_response(twin: ModuleType, head: bytes, texts: list[str]) -> None:
    """Head, id, the body's length, and the body."""
    body = "".join(texts)
    expected = head + f"req_1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    assert twin.response(head, "req_1", tuple(texts)) == expected


@twins
@pytest.mark.parametrize(("request_id", "text"), [("é", "a"), ("a", "é"), ("a", "\ud800")])
def test_response_is_ascii(twin: ModuleType, request_id: str, text: str) -> None:
    """What would need more than a byte is an error."""
    with pytest.raises(ValueError, match=r"ASCII|ascii"):
        twin.response(b"", request_id, ("a", text))


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
        pytest.param("entry_start", (b"", b"", "", MAC, 0), id="text for a stamp"),
        pytest.param("entry_start", (b"", b"", b"", MAC[1:], 0), id="a short MAC"),
        pytest.param("entry_start", (b"", b"", b"", MAC, -1), id="a body of less than nothing"),
        pytest.param("response", (b"", "", ("a", b"b")), id="bytes in a text"),
        pytest.param("response", (b"", "", ("a", None)), id="nothing in a text"),
        pytest.param("counts_as_arguments", ({"a": -1},), id="less than nothing"),
        pytest.param("counts_as_arguments", ({b"a": 1},), id="bytes for a name"),
        pytest.param("counts_as_arguments", ({"a": Other()},), id="a number that may change"),
        pytest.param("response", (b"", "", ["a"]), id="a list of texts"),
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
