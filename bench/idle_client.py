"""Holds idle connections: each sends one request and reads its answer; then nothing more is sent.

Usage: idle_client.py PORT FILE CONNECTIONS. FILE holds the request. Prints how many connections
were answered 202 and are still open, and ends when its standard input does, or says something.
"""

import asyncio
import sys
from pathlib import Path

AT_ONCE = 50


async def hold(port: int, request: bytes, gate: asyncio.Semaphore) -> asyncio.StreamWriter | None:
    """One connection that has had a 202; None if it has not."""
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 202"):
            return writer
        writer.close()
        return None


async def main() -> None:
    """Open, report, wait."""
    port, file, connections = sys.argv[1:]
    request, gate = Path(file).read_bytes(), asyncio.Semaphore(AT_ONCE)  # noqa: ASYNC240 - once
    holds = (hold(int(port), request, gate) for _ in range(int(connections)))
    held = [writer for writer in await asyncio.gather(*holds) if writer]
    await asyncio.sleep(1)
    still = [writer for writer in held if not writer.is_closing()]
    sys.stdout.write(f"{len(still)}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
