"""Keys, in Python and compiled: what they prove is what the standard library proves."""

import hmac
import pickle
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_kernels import SOME, twins


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
