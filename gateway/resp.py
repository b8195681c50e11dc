"""Commands in RESP, the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/).

Written here, and not by the client library, because a group of appends is packed once per request
as it comes, and joined.
"""


def bulk(data: bytes) -> bytes:
    """One argument."""
    return b"$%d\r\n%s\r\n" % (len(data), data)


def command(*arguments: str | int, more: int = 0) -> bytes:
    """A command, of which `more` further arguments follow as `bulk` gives them."""
    texts = [str(argument).encode() for argument in arguments]
    return b"*%d\r\n" % (len(texts) + more) + b"".join(map(bulk, texts))
