"""What is heard of a channel, and what is told when something may have been missed."""

import asyncio

from redis.asyncio import Redis

from gateway.channel import POLL_S, News, follow, tell
from runtime.background import end
from runtime.queue import open_queue
from tests.gateway.conftest import until


class Heard:
    """What a follower was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.missed = self.quiet = 0

    def on_missed(self) -> None:
        """Messages may have been missed."""
        self.missed += 1

    async def on_quiet(self) -> None:
        """Nothing was heard for a while."""
        self.quiet += 1

    def follow(self, queue: Redis) -> asyncio.Task[None]:
        """Listen."""
        return asyncio.create_task(
            follow(
                queue,
                "news",
                heard=self.messages.append,
                missed=self.on_missed,
                quiet=self.on_quiet,
                poll_s=0.05,
            )
        )

    def news(self, queue: Redis) -> News:
        """Numbered news."""
        return News(queue, "news", heard=self.messages.append, missed=self.on_missed)


async def test_heard(queue: Redis) -> None:
    """Messages are heard in order; between them it is told that there are none."""
    heard = Heard()
    task = heard.follow(queue)
    await until(lambda: heard.missed == 1)
    for text in ("a", "b"):
        await queue.publish("news", text)
    await queue.publish("other", "c")
    await until(lambda: heard.quiet > 2)
    assert (heard.messages, heard.missed) == (["a", "b"], 1)
    await end(task)


async def test_cut_off(queue: Redis) -> None:
    """A connection that was lost is opened again, and it is told that messages may be missing."""
    heard = Heard()
    task = heard.follow(queue)
    await until(lambda: heard.missed == 1)
    await queue.client_kill_filter(_type="pubsub")
    await until(lambda: heard.missed == 2)
    await queue.publish("news", "again")
    await until(lambda: heard.messages == ["again"])
    await end(task)


async def test_away() -> None:
    """While there is no queue nothing is told, and it is tried again."""
    heard = Heard()
    queue = open_queue("redis://127.0.0.1:1/0")
    task = heard.follow(queue)
    await asyncio.sleep(0.3)
    assert (heard.messages, heard.missed, heard.quiet, task.done()) == ([], 0, 0, False)
    await end(task)
    await queue.aclose()


async def test_numbered(queue: Redis) -> None:
    """Numbered news are heard in order, without their numbers, and none is missed."""
    heard = Heard()
    await tell(queue, "news", "before")
    news = heard.news(queue)
    task = asyncio.create_task(news.follow())
    await until(lambda: news.number == 1)
    for text in ("a", "b c", ""):
        await tell(queue, "news", text)
    await until(lambda: len(heard.messages) == 3)
    await asyncio.sleep(2 * POLL_S)
    assert (heard.messages, heard.missed, news.number) == (["a", "b c", ""], 1, 4)
    await end(task)


async def test_numbered_missed(queue: Redis) -> None:
    """News that were told but not heard are noticed, by the next ones or without any; so is a queue
    that has forgotten how many there were."""
    heard = Heard()
    news = heard.news(queue)
    task = asyncio.create_task(news.follow())
    await until(lambda: news.number == 0)
    await queue.incr("news")
    await until(lambda: heard.missed == 2)
    await until(lambda: news.number == 1)
    await queue.incr("news")
    await tell(queue, "news", "a")
    await until(lambda: heard.messages == ["a"])
    assert heard.missed == 3
    await queue.delete("news")
    await until(lambda: heard.missed == 4)
    await end(task)
