"""Names of the streams: one per partition, its dead letters beside it in the same cluster slot.

A project lives in one partition, so that its events are stored in the order they were accepted.
The braces are Redis Cluster's hash tag (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/):
a partition's keys share a slot, so one transaction can write a dead letter and acknowledge.
"""

import zlib
from functools import lru_cache

GROUP = "contox-workers"


@lru_cache(maxsize=100_000)
def partition_of(project: str, partitions: int) -> int:
    """The partition, 0 to `partitions` - 1, that takes this project's events."""
    return zlib.crc32(project.encode()) % partitions


def stream_key(partition: int) -> str:
    """The stream that the gateway appends to and the worker drains."""
    return f"ingest:{{{partition}}}"


def dead_letter_key(partition: int) -> str:
    """The stream that keeps what the store refused."""
    return f"ingest:{{{partition}}}:dead"


def ledger_key(partition: int) -> str:
    """The hash that counts what has become of the partition's events; see core/ledger.py."""
    return f"ingest:{{{partition}}}:ledger"
