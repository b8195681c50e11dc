"""Commands in RESP, the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/).

Written here, and not by the client library, because a group of appends is packed once per request
as it comes, and joined.
"""


def bulk(data: bytes) -> bytes:
    """One argument."""
    return b"$%d\r\n%s\r\n" % (len(data), data)


def command(*arguments: str | int) -> bytes:
    """A command."""
    texts = [str(argument).encode() for argument in arguments]
    return b"*%d\r\n" % len(texts) + b"".join(map(bulk, texts))
