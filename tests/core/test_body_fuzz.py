"""For any bytes, type and encoding only Rejected comes out, and what is taken can be read again.

Besides plain noise: sequences of what JSON is made of, and bodies with a part of them exchanged.
"""

import gzip
import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from core.body import Limits, parse, read_events
from core.compression import Encoding, decompress, zstd
from core.errors import Rejected

JSON, NDJSON = b"application/json", b"application/x-ndjson"
COMPRESS = {Encoding.IDENTITY: bytes, Encoding.GZIP: gzip.compress, Encoding.ZSTD: zstd.compress}

GOOD = b'{"event":"a","payload":{"x":[1]},"id":"b","timestamp":1.5}'
DEEP = b'{"event":"a","payload":{"x":%b%b}}' % (b"[" * 126, b"]" * 126)
WHOLE = [GOOD, DEEP, b"[%b,%b]" % (GOOD, GOOD), b"[%b,1]" % GOOD, GOOD + b"\n" + GOOD]
TOKENS = [*(b"%c" % byte for byte in b'{}[],:"\\\n 1\xff'), b"null", b'"a"', GOOD]
TEXTS = st.one_of(
    st.binary(),
    st.lists(st.sampled_from(TOKENS)).map(b"".join),
    st.builds(bytes.replace, *[st.sampled_from(x) for x in (WHOLE, TOKENS, TOKENS)], st.just(1)),
)


@settings(max_examples=700)
@given(
    text=TEXTS,
    media=st.sampled_from([JSON, NDJSON, JSON, NDJSON, None]) | st.binary(),
    encoded=st.sampled_from(Encoding),
    declared=st.none() | st.sampled_from(Encoding),
    limits=st.builds(Limits, st.integers(1, 300), st.integers(1, 300), st.integers(1, 3)),
)
def test_parse_is_total(
    text: bytes, media: bytes | None, encoded: Encoding, declared: Encoding | None, limits: Limits
) -> None:
    """Whatever is sent, Rejected comes out or events that hold JSON and can be read again."""
    wire = COMPRESS[encoded](text)
    with suppress(Rejected):
        batch = parse(wire, content_type=media, encoding=declared or encoded, limits=limits)
        stored = decompress(batch.body, batch.encoding, bytes_max=limits.decoded_bytes_max)
        assert read_events(batch.form, stored) == batch.events
        assert batch.count == sum(e is not None for e in batch.events) > 0
        assert [r.index for r in batch.refused] == [i for i, e in enumerate(batch.events) if not e]
        assert all(isinstance(json.loads(bytes(e.payload)), dict) for e in batch.events if e)
