"""News from other processes, over a channel of the queue's (pub/sub), which promises nothing.

What was missed while the connection was away is not known: whoever listens is told so, and trusts
nothing it had.
"""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS, Backoff

log = get_log()


async def _nothing() -> None:
    """What there is to do when nothing comes, by default."""


async def follow(
    queue: Redis,
    name: str,
    *,
    heard: Callable[[str], None],
    missed: Callable[[], None],
    poll_s: float,
    quiet: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Listen until cancelled; reconnects.

    heard: told each message. missed: called whenever messages may have been. quiet: called when
    there was none for `poll_s`; may raise one of QUEUE_ERRORS.
    """
    backoff = Backoff()
    while True:
        try:
            async with queue.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(name)
                await channel.get_message(timeout=poll_s)  # the confirmation
                missed()
                backoff.reset()
                while True:
                    message = await channel.get_message(timeout=poll_s)
                    if message is None:
                        await channel.ping()
                        await quiet()
                    elif message["type"] == "message":
                        heard(message["data"].decode())
        except QUEUE_ERRORS as error:
            log.debug("changes are not followed", channel=name, error=str(error))
        await backoff.wait()
