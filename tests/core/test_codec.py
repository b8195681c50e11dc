"""An entry's bytes pinned, tables of what a reader refuses, and the whole path as a property.

The property: what `parse` takes and `encode_header` writes, `decode` and `explode` give back, with
every payload's bytes and every event's id. Fuzz: for any fields only Refused comes out.
"""

import gzip
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.body import Form, Limits, parse
from core.codec import (
    BODY,
    HEAD_KEPT_BYTES_MAX,
    HEADER,
    Entry,
    _head,
    count_of,
    decode,
    encode_header,
    explode,
    ids_of,
    middle_of_one,
    opening,
)
from core.compression import Encoding, zstd
from core.errors import Refused, Rejected
from core.event import Row
from core.ids import event_ids

MAC = bytes(range(32))
COMPRESS = {Encoding.IDENTITY: bytes, Encoding.GZIP: gzip.compress, Encoding.ZSTD: zstd.compress}
ONE = b'{"event":"saved","payload":{ "a":1.0 }}'
HEAD = b"1|proj_1|sess_1|1705312201234|single|identity|1|1705312200|" + MAC.hex().encode()
FIELDS = {HEADER: HEAD, BODY: ONE}


def entry(
    body: bytes = ONE, form: Form = Form.SINGLE, count: int = 1, **changed: Encoding
) -> Entry:
    """An entry whose header is HEAD, but for what is given."""
    encoding = changed.get("encoding", Encoding.IDENTITY)
    return Entry("proj_1", "sess_1", 1705312201234, form, encoding, count, 1705312200, MAC, body)


def test_entry_is_written_as_drawn() -> None:
    """The header's bytes are what a worker of any release of this version reads."""
    assert encode_header(entry()) == HEAD
    assert decode(FIELDS) == entry()


def test_header_in_parts() -> None:
    """The parts that entries of one event have alike make the header that `encode_header` makes."""
    alone = Entry("proj_1", "sess_1", 5, Form.SINGLE, Encoding.IDENTITY, 1, 17, MAC, ONE)
    parts = opening("proj_1", "sess_1") + middle_of_one(5) + b"17|" + MAC.hex().encode()
    assert parts == encode_header(alone)


def test_event_becomes_a_row() -> None:
    """A row holds the header's ids and times and the payload as it was signed."""
    body = b'{"id":"x","timestamp":"2024-01-15T09:50:00Z","payload":{ "a":1.0 },"event":"saved"}'
    assert explode(entry(body)) == [
        Row(
            project_id="proj_1",
            event_id="x",
            session_id="sess_1",
            event="saved",
            payload='{ "a":1.0 }',
            occurred_ms=1705312200000,
            received_ms=1705312201234,
        )
    ]


def test_refused_events_leave_the_ids_of_others_alone() -> None:
    """An event's id is that of its index as signed, whatever was refused before it."""
    body = b"[null,%b,null,null,%b]" % (ONE, ONE)
    ids = event_ids("proj_1", timestamp_s=1705312200, mac=MAC, count=5)
    assert [row.event_id for row in explode(entry(body, Form.ARRAY, 2))] == [ids[1], ids[4]]


def test_events_own_id_comes_first() -> None:
    """An event that brings an id keeps it, wherever it stands."""
    body = b'[%b,{"event":"a","payload":{},"id":"mine"}]' % ONE
    assert explode(entry(body, Form.ARRAY, 2))[1].event_id == "mine"


BAD_HEADS = {
    "empty": b"",
    "version only": b"1",
    "a field short": HEAD.rpartition(b"|")[0],
    "a field long": HEAD + b"|x",
    "not ASCII": HEAD.replace(b"proj_1", b"proj_\xff"),
    "received_ms in words": HEAD.replace(b"1705312201234", b"now"),
    "received_ms of 5000 digits": HEAD.replace(b"1705312201234", b"1" * 5000),
    "received_ms of 16 digits": HEAD.replace(b"1705312201234", b"1" * 16),
    "received_ms with an underscore": HEAD.replace(b"1705312201234", b"1_705"),
    "negative count": HEAD.replace(b"|1|17", b"|-1|17"),
    "other form": HEAD.replace(b"single", b"double"),
    "other encoding": HEAD.replace(b"identity", b"br"),
    "no count": HEAD.replace(b"|1|17", b"||17"),
    "no timestamp": HEAD.replace(b"|1705312200|", b"||"),
    "no project": HEAD.replace(b"|proj_1|", b"||"),
    "project of a gateway that is none": HEAD.replace(b"proj_1", b"proj\x00"),
    "mac not hex": HEAD[:-2] + b"xx",
    "mac of odd length": HEAD[:-1],
}


@pytest.mark.parametrize("head", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_bad_header_is_refused(head: bytes) -> None:
    """A header that is not of this format is refused, for an operator to see."""
    with pytest.raises(Refused):
        decode({HEADER: head, BODY: ONE})


@pytest.mark.parametrize("version", [b"0", b"2", b"01", b" 1", b"v" * 1000])
def test_other_version_is_refused(version: bytes) -> None:
    """A version that this reader does not know is named, in 16 characters at most."""
    with pytest.raises(Refused, match=r"^the entry's version is '[^']{1,16}', not '1'$"):
        decode({HEADER: version + HEAD[1:], BODY: ONE})


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (HEAD, 1),
        (HEAD.replace(b"single|identity|1", b"array|gzip|500"), 500),
        (HEAD.replace(b"identity|1", b"identity|x"), 1),
        (HEAD.replace(b"identity|1|", b"identity|%b|" % (b"1" * 16)), 1),
        (b"", 1),
    ],
)
def test_count_of_a_header(head: bytes, count: int) -> None:
    """The number of events can be told from the header alone; 1 where it does not tell."""
    assert count_of({HEADER: head}) == count


def test_long_headers_are_not_remembered() -> None:
    """What entries have in common is kept only if it is short: memory stays bounded."""
    _head.cache_clear()
    long = HEAD.replace(b"sess_1", b"s" * HEAD_KEPT_BYTES_MAX)
    assert len(decode({HEADER: long, BODY: ONE}).session) >= HEAD_KEPT_BYTES_MAX
    assert _head.cache_info().currsize == 0
    assert decode({HEADER: HEAD, BODY: ONE}) == decode({HEADER: HEAD, BODY: ONE})
    assert _head.cache_info()[:2] == (1, 1)


@pytest.mark.parametrize("missing", [HEADER, BODY])
def test_missing_field_is_refused(missing: bytes) -> None:
    """An entry that lacks its header or its body is refused."""
    with pytest.raises(Refused):
        decode({name: value for name, value in FIELDS.items() if name != missing})


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(entry(b""), id="empty"),
        pytest.param(entry(b"[]"), id="array as one"),
        pytest.param(entry(ONE, Form.ARRAY), id="one as array"),
        pytest.param(entry(ONE[:-1]), id="cut short"),
        pytest.param(entry(b"null"), id="null as one"),
        pytest.param(entry(ONE + b"\nnull", Form.NDJSON), id="null as a line"),
        pytest.param(entry(b'{"payload":' + b"[" * 100_000), id="nested deep"),
        pytest.param(entry(ONE.replace(b'"a"', b'"\xff"')), id="not UTF-8"),
        pytest.param(entry(ONE[:-1] + b',"timestamp":"x"}'), id="bad time"),
        pytest.param(entry(ONE, encoding=Encoding.GZIP), id="not gzip"),
        pytest.param(entry(zstd.compress(ONE)[:-1], encoding=Encoding.ZSTD), id="zstd cut short"),
    ],
)
def test_bad_body_is_refused(bad: Entry) -> None:
    """A body that is not what the header says is refused, for an operator to see."""
    with pytest.raises(Refused, match=r"^the entry's body cannot be read: "):
        explode(bad)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_entry_that_holds_another_number_of_events_is_refused(count: int) -> None:
    """An event more or fewer than the header counts is never passed over in silence."""
    with pytest.raises(Refused, match=f"^the entry holds 2 events, its header says {count}$"):
        explode(entry(b"[%b,null,%b]" % (ONE, ONE), Form.ARRAY, count))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
PAYLOADS = st.builds(
    lambda value, ascii_, joints: json.dumps({"v": value}, ensure_ascii=ascii_, separators=joints),
    VALUES,
    st.booleans(),
    st.sampled_from([(",", ":"), (" ,\t", "\r: ")]),
)
MORE = st.sampled_from(["", ',"id":"own:1"', ',"id":null', ',"timestamp":1.5', ',"x":[{}]'])
BAD = st.sampled_from(
    ["null", "{}", '{"event":"","payload":{}}', '{"event":"a","payload":[]}', "7"]
)


@given(
    st.lists(st.tuples(PAYLOADS, MORE) | BAD, min_size=1, max_size=6),
    st.sampled_from([Form.SINGLE, Form.ARRAY, Form.NDJSON]),
    st.sampled_from(Encoding),
)
def test_accepted_events_come_through_unchanged(
    sent: list[tuple[str, str] | str], form: Form, encoding: Encoding
) -> None:
    """From the request to the rows: each accepted event once, its payload's bytes and its id."""
    sent = sent[:1] if form is Form.SINGLE else sent
    texts = [s if isinstance(s, str) else f'{{"event":"a","payload":{s[0]}{s[1]}}}' for s in sent]
    text = f"[{','.join(texts)}]" if form is Form.ARRAY else "\n".join(texts)
    wire = COMPRESS[encoding](text.encode())
    content_type = b"application/x-ndjson" if form is Form.NDJSON else b"application/json"
    valid = [index for index, s in enumerate(sent) if not isinstance(s, str)]
    try:
        batch = parse(wire, content_type=content_type, encoding=encoding, limits=Limits())
    except Rejected:
        assert not valid
        return
    written = entry(batch.body, batch.form, batch.count, encoding=batch.encoding)
    read = decode({HEADER: encode_header(written), BODY: written.body})
    rows = explode(read)
    derived = event_ids("proj_1", timestamp_s=1705312200, mac=MAC, count=len(sent))
    assert read == written
    assert [row.event_id for row in rows] == ids_of(read, batch)
    assert [row.event_id for row in rows] == [
        "own:1" if "own:1" in sent[i][1] else derived[i] for i in valid
    ]
    assert [row.payload for row in rows] == [sent[i][0] for i in valid]


BODIES = [ONE, b"[%b,null]" % ONE, ONE + b"\n" + ONE, gzip.compress(ONE), zstd.compress(ONE)]
WORDS = st.sampled_from([b"array", b"ndjson", b"gzip", b"zstd", b"2", b"-1"]) | st.binary()
HEADS = st.builds(bytes.replace, st.just(HEAD), st.sampled_from(HEAD.split(b"|")), WORDS)


@given(
    st.fixed_dictionaries(
        {}, optional={HEADER: HEADS | st.binary(), BODY: st.sampled_from(BODIES) | st.binary()}
    )
)
def test_reader_is_total(fields: dict[bytes, bytes]) -> None:
    """Whatever an entry's fields are, rows or Refused come out."""
    with suppress(Refused):
        explode(decode(fields))
