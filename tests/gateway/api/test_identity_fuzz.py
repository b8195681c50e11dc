"""Whatever credentials are made up, the answer is a refusal, and never a 5xx."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.api.conftest import People, Person
from tests.gateway.conftest import Start
from tests.gateway.fuzzing import Sender, fuzz

VALUES = st.binary(max_size=80).map(lambda raw: raw.translate(None, b"\r\n\0"))
KEYS = st.one_of(
    VALUES,
    st.builds(lambda tail: b"contox_sk_" + tail, VALUES),
    st.text("0123456789abcXYZ", min_size=42, max_size=44).map(
        lambda text: f"contox_sk_{text}".encode()
    ),
    st.text(max_size=40).map(lambda text: text.replace("\r", "").replace("\n", "").encode()),
)
BEARERS = st.builds(
    lambda scheme, blank, key: b"Authorization: " + scheme + blank + key + b"\r\n",
    st.sampled_from([b"Bearer", b"bearer", b"Basic", b"BEARER", b"Bearer:", b""]) | VALUES,
    st.sampled_from([b" ", b"  ", b"\t", b""]),
    KEYS,
)
COOKIES = st.builds(
    lambda name, joint, value: b"Cookie: " + name + joint + value + b"\r\n",
    st.sampled_from([b"__Host-contox_session", b"contox_session", b"a=b; __Host-contox_session"]),
    st.sampled_from([b"=", b'="', b"==", b""]),
    VALUES | st.text("abcXYZ012-_", min_size=43, max_size=43).map(str.encode),
)
ORIGINS = st.sampled_from([b"", b"Origin: http://x\r\n", b"Origin: null\r\n", b"Origin: \xff\r\n"])


@pytest.fixture
async def people(start: Start) -> People:
    """A gateway that takes any number of requests."""
    return People(await start(CONTOX_API_REQUESTS_MINUTE="1000000"))


async def test_made_up_credentials(people: People, ada: Person) -> None:
    """Bearer headers and cookies of any bytes, alone and together, are refused as they should."""

    @settings(max_examples=400, deadline=None, database=None)
    @given(st.lists(BEARERS | COOKIES, max_size=3), ORIGINS, st.sampled_from(["GET", "POST"]))
    def ask(credentials: list[bytes], origin: bytes, method: str) -> None:
        status = sender.send(method, "/api/keys", b"".join(credentials) + origin)
        assert status in (400, 401)

    def run(given_sender: Sender) -> None:
        nonlocal sender
        sender = given_sender
        ask()
        assert sender.send("GET", "/api/keys", ada.bearer.encode()) == 200

    sender: Sender
    assert {200, 401} <= await fuzz(people.running, run)


async def test_spoilt_credentials(people: People, ada: Person) -> None:
    """A key or a cookie of which one bit is another opens nothing."""
    _, cookie = await people.sign_in("ada")
    right = [ada.bearer.encode(), cookie.partition("\r")[0].encode() + b"\r\n"]

    @settings(max_examples=300, deadline=None, database=None)
    @given(st.sampled_from(right), st.integers(0, 60), st.integers(0, 7))
    def ask(line: bytes, back: int, bit: int) -> None:
        at = max(len(line) - 3 - back, line.index(b": ") + 2)
        other = line[at] ^ 1 << bit
        if other in b"\r\n\0" or chr(line[at]).swapcase() == chr(other):
            return  # no header any more, or a scheme in another case
        status = sender.send("GET", "/api/keys", line[:at] + bytes([other]) + line[at + 1 :])
        assert status in (400, 401)

    def run(given_sender: Sender) -> None:
        nonlocal sender
        sender = given_sender
        ask()
        assert [sender.send("GET", "/api/keys", line) for line in right] == [200, 200]

    sender: Sender
    await fuzz(people.running, run)
