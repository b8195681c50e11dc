"""News from other processes, over a channel of the queue's (pub/sub), which promises nothing.

What was missed while the connection was away is not known: whoever listens is told so, and trusts
nothing it had.

    <name of the channel> := how many messages there were on a channel of numbered news; it carries
                             "<that number> <text>"

The number says whether a message was missed by a connection that seems to be well; it is asked for,
too, when nothing was heard for POLL_S. That costs two questions a second, channel and process.
"""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS, Backoff

log = get_log()
POLL_S = 0.5


async def tell(queue: Redis, name: str, text: str) -> None:
    """Publish numbered news. Raises one of QUEUE_ERRORS."""
    number = await queue.incr(name)
    await queue.publish(name, f"{number} {text}")


class News:
    """Numbered news, as one process follows them.

    heard: told each text. missed: called whenever some may have been missed.
    """

    def __init__(
        self, queue: Redis, name: str, *, heard: Callable[[str], None], missed: Callable[[], None]
    ) -> None:
        self._queue = queue
        self._name = name
        self._heard = heard
        self._missed = missed
        self.number: int | None = None  # as last heard, or told

    async def follow(self) -> None:
        """Listen until cancelled; reconnects."""
        await follow(
            self._queue,
            self._name,
            heard=self._hear,
            missed=self._miss,
            quiet=self._check,
            poll_s=POLL_S,
        )

    def _hear(self, message: str) -> None:
        number, _, text = message.partition(" ")
        if self.number is None or int(number) != self.number + 1:
            self._miss()
        self.number = int(number)
        self._heard(text)

    def _miss(self) -> None:
        self.number = None
        self._missed()

    async def _check(self) -> None:
        number = int(await self._queue.get(self._name) or 0)
        if self.number not in (None, number):
            self._miss()
        self.number = number


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
