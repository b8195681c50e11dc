"""A vector made with openssl, tables of hostile headers, and fuzz: only Rejected may come out."""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.auth import is_made_by, keyed, parse_timestamp, sign, verify
from core.errors import AuthFailure, Reason, Rejected
from core.kernels_python import COPIED_BYTES_MAX

# printf '1705312200.{"event":"session_save","payload":{}}' \
#   | openssl dgst -sha256 -hmac whsec_test
SECRET, NOW_S, BODY = "whsec_test", 1705312200, b'{"event":"session_save","payload":{}}'
HEX = "7e27039ca92f969a0a57db6fa7401584b514ae6fcc350851b2fc31de4b53bc36"
SIGNATURE = b"sha256=" + HEX.encode()
OTHER = sign("whsec_other", timestamp_s=NOW_S, body=BODY).encode()
FILLER = b"sha256=" + b"0" * 64


def check(
    signature: bytes,
    *,
    secrets: Sequence[str] = (SECRET,),
    timestamp: bytes = b"1705312200",
    body: bytes = BODY,
) -> bytes:
    """`verify` with the vector's parts where none is given."""
    return verify(
        [keyed(secret) for secret in secrets], timestamp=timestamp, body=body, signature=signature
    )


def test_signature_is_what_openssl_makes() -> None:
    """The vector's signature is the one that openssl computes."""
    assert sign(SECRET, timestamp_s=NOW_S, body=BODY) == f"sha256={HEX}"


def test_verified_request_yields_its_mac() -> None:
    """A right signature yields the 32 bytes of the MAC."""
    assert check(SIGNATURE) == bytes.fromhex(HEX)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(SIGNATURE + b"," + FILLER, id="first"),
        pytest.param(FILLER + b"," + SIGNATURE, id="last"),
        pytest.param(FILLER + b", " + SIGNATURE + b" ,\xff", id="middle"),
        pytest.param(b",,," + SIGNATURE, id="after empty ones"),
        pytest.param(b",".join([FILLER] * 7 + [SIGNATURE]), id="eighth"),
        pytest.param(b",".join([SIGNATURE] + [FILLER] * 99), id="first of a hundred"),
    ],
)
def test_one_of_several_signatures_suffices(signature: bytes) -> None:
    """One right signature among the first eight verifies."""
    assert check(signature) == bytes.fromhex(HEX)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"sha256=", id="prefix only"),
        pytest.param(HEX.encode(), id="no prefix"),
        pytest.param(b"sha1=" + HEX.encode(), id="other prefix"),
        pytest.param(b"SHA256=" + HEX.encode(), id="upper-case prefix"),
        pytest.param(b"sha256=" + HEX.upper().encode(), id="upper-case hex"),
        pytest.param(SIGNATURE[:-1], id="one byte short"),
        pytest.param(SIGNATURE + b"0", id="one byte long"),
        pytest.param(SIGNATURE[:-1] + b"7", id="last digit differs"),
        pytest.param(SIGNATURE + b"\x00", id="NUL at the end"),
        pytest.param(b"sha256=" + b"\xff" * 64, id="not ASCII"),
        pytest.param("sha256=\uff17\uff45".encode(), id="full-width digits"),
        pytest.param(b"sha256=" + bytes.fromhex(HEX), id="raw MAC"),
        pytest.param(OTHER, id="another secret"),
        pytest.param(b",".join([FILLER] * 8 + [SIGNATURE]), id="ninth"),
        pytest.param(SIGNATURE.replace(b"=", b"= "), id="space inside"),
        pytest.param(b'"' + SIGNATURE + b'"', id="quoted"),
    ],
)
def test_wrong_signature_is_unauthorized(signature: bytes) -> None:
    """A signature that differs from the right one in any way is refused as unauthorized."""
    with pytest.raises(Rejected) as caught:
        check(signature)
    assert caught.value.reason is Reason.UNAUTHORIZED
    assert caught.value.failure is AuthFailure.BAD_SIGNATURE


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"timestamp": b"1705312201"}, id="timestamp"),
        pytest.param({"timestamp": b"01705312200"}, id="timestamp written otherwise"),
        pytest.param({"body": BODY + b"\n"}, id="body"),
        pytest.param({"body": b""}, id="no body"),
        pytest.param({"secrets": ["whsec_test2"]}, id="secret"),
        pytest.param({"secrets": []}, id="no secret"),
    ],
)
def test_signature_holds_for_what_was_signed(changed: dict[str, Any]) -> None:
    """A signature does not hold for another timestamp, body or secret, nor for no secret at all."""
    with pytest.raises(Rejected):
        check(SIGNATURE, **changed)


@pytest.mark.parametrize("signature", [SIGNATURE, OTHER], ids=["new", "old"])
def test_both_secrets_verify_during_a_rotation(signature: bytes) -> None:
    """With two live secrets a request verifies by either, and yields the MAC of that one."""
    assert b"sha256=" + check(signature, secrets=[SECRET, "whsec_other"]).hex().encode() == (
        signature
    )


def test_comparison_does_not_stop_at_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every signature is compared with every secret, wherever the match is."""
    calls = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: calls.append(a) or real(a, b))
    check(b",".join([SIGNATURE, FILLER, OTHER]), secrets=[SECRET, "whsec_other"])
    assert calls == [SIGNATURE, FILLER, OTHER] * 2


def test_key_state_is_reusable() -> None:
    """A keyed state is not used up by a MAC, so one serves every request of a project."""
    key = keyed(SECRET)
    assert key.mac(b"1", b"a") != key.mac(b"1", b"b")
    assert key.mac(b"1705312200", BODY).hex() == HEX


@pytest.mark.parametrize("offset_s", [-300, -1, 0, 1, 300])
def test_timestamp_within_the_window_is_taken(offset_s: int) -> None:
    """A timestamp up to exactly the window's width away, either way, is taken."""
    timestamp = b"%d" % (NOW_S + offset_s)
    assert parse_timestamp(timestamp, now_s=NOW_S, window_s=300) == NOW_S + offset_s


@pytest.mark.parametrize("offset_s", [-301, 301, -NOW_S, 90_000_000_000])
def test_timestamp_outside_the_window_is_unauthorized(offset_s: int) -> None:
    """A timestamp one second beyond the window, either way, is refused as outside of it."""
    with pytest.raises(Rejected) as caught:
        parse_timestamp(b"%d" % (NOW_S + offset_s), now_s=NOW_S, window_s=300)
    assert caught.value.reason is Reason.UNAUTHORIZED
    assert caught.value.failure is AuthFailure.OUTSIDE_WINDOW


@pytest.mark.parametrize(
    "timestamp",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"-1705312200", id="negative"),
        pytest.param(b"+1705312200", id="signed"),
        pytest.param(b"1705312200.0", id="fractional"),
        pytest.param(b"1705312200e0", id="exponent"),
        pytest.param(b"1_705_312_200", id="underscores"),
        pytest.param(b" 1705312200", id="space before"),
        pytest.param(b"1705312200\n", id="newline after"),
        pytest.param(b"0x65a50048", id="hex"),
        pytest.param(b"1" * 40, id="40 digits"),
        pytest.param(b"1" * 5000, id="5000 digits"),
        pytest.param(b"001705312200", id="12 digits"),
        pytest.param(
            "\uff11\uff12".encode(),
            id="full-width digits",
        ),
        pytest.param(
            "\u0661\u0662".encode(),
            id="arabic digits",
        ),
        pytest.param("1705312200²".encode("latin-1"), id="superscript"),
    ],
)
def test_bad_timestamp_is_unauthorized(timestamp: bytes) -> None:
    """A timestamp that is not 1 to 11 ASCII digits is refused as unauthorized."""
    with pytest.raises(Rejected) as caught:
        parse_timestamp(timestamp, now_s=NOW_S, window_s=300)
    assert caught.value.reason is Reason.UNAUTHORIZED
    assert caught.value.failure is AuthFailure.BAD_TIMESTAMP


@given(st.text(), st.integers(0, 99_999_999_999), st.binary())
def test_what_is_signed_verifies(secret: str, timestamp_s: int, body: bytes) -> None:
    """Any secret, time and body: what `sign` makes, `verify` takes."""
    signature = sign(secret, timestamp_s=timestamp_s, body=body).encode()
    check(signature, secrets=[secret], timestamp=b"%d" % timestamp_s, body=body)


@given(st.binary(), st.binary(), st.binary() | st.binary().map(lambda junk: SIGNATURE + junk))
def test_verify_is_total(timestamp: bytes, body: bytes, signature: bytes) -> None:
    """Whatever the headers hold, a signature that is not the right one raises only Rejected."""
    with pytest.raises(Rejected):
        check(signature, timestamp=b"9" + timestamp, body=body)


@given(st.binary() | st.from_regex(rb"[0-9+_. -]*"), st.integers(0, 1 << 40))
def test_parse_timestamp_is_total(timestamp: bytes, now_s: int) -> None:
    """Whatever the header holds, a time within the window or Rejected comes out."""
    with suppress(Rejected):
        assert abs(parse_timestamp(timestamp, now_s=now_s, window_s=300) - now_s) <= 300


@pytest.mark.parametrize("secret", ["", "s", "s" * 64, "s" * 65, "\u00fc" * 100])
@pytest.mark.parametrize("size", [0, 1, COPIED_BYTES_MAX - 1, COPIED_BYTES_MAX, 100_000])
def test_mac_is_that_of_the_standard_library(secret: str, size: int) -> None:
    """Secrets and bodies of any length have the MAC that `hmac` computes."""
    body = b"x" * size
    expected = hmac.digest(secret.encode(), b"1705312200." + body, "sha256")
    assert keyed(secret).mac(b"1705312200", body) == expected


def test_made_by() -> None:
    """A MAC is told to be of the key that made it, and of no other, nor of other bytes."""
    one, two = keyed("one"), keyed("two")
    mac = one.mac(b"1705312200", b"{}")
    assert is_made_by(one, mac, timestamp=b"1705312200", body=b"{}")
    assert not is_made_by(two, mac, timestamp=b"1705312200", body=b"{}")
    assert not is_made_by(one, mac, timestamp=b"1705312201", body=b"{}")
    assert not is_made_by(one, mac, timestamp=b"1705312200", body=b"[]")
