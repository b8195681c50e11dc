"""The target that answers everything alike."""

import asyncio

from bench.fixed_target import ANSWER_202, ANSWER_400, Fixed

HEAD = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"


async def answers(*pieces: bytes) -> bytes:
    """What a connection that receives these pieces answers."""
    server = await asyncio.get_running_loop().create_server(Fixed, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    server.close()
    return said


async def test_whole() -> None:
    """A request in one piece has a 202, as has one whose body comes in two."""
    assert await answers(HEAD % 4 + b"body") == ANSWER_202
    assert await answers(HEAD % 4 + b"bo", b"dy") == ANSWER_202


async def test_empty_batch() -> None:
    """An empty batch is answered as a gateway does."""
    assert await answers(HEAD % 2 + b"[]") == ANSWER_400
