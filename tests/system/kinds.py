"""Every kind of fault, by the rig that it needs; with times, rounds, and what must show."""

import signal

from tests.system import faults
from tests.system.faults import Fault, rolling, signalled
from tests.system.rig import Wanted

NETWORK = Wanted(postgres=True, workers=2, clock=True)
DISKS = Wanted(spool=True, disks=True)

ON_NETWORK = (
    Fault(name="kill -9 gateway", strike=signalled(faults.gateway, signal.SIGKILL), rounds=20),
    Fault(name="kill -9 worker", strike=signalled(faults.worker, signal.SIGKILL), rounds=20),
    Fault(name="kill -9 Valkey", strike=signalled(faults.valkey, signal.SIGKILL), rounds=20),
    Fault(name="rolling restart of the gateway", strike=rolling(faults.gateway)),
    Fault(name="rolling restart of a worker", strike=rolling(faults.worker)),
    Fault(name="connection cut mid-append", strike=faults.cut_mid_append, rounds=4),
    Fault(
        name="Valkey paused",
        strike=faults.valkey_paused,
        short_s=3,
        long_s=10,
        rounds=2,
        meanwhile=503,
    ),
    Fault(name="consumer group destroyed", strike=faults.group_destroyed),
    Fault(name="empty stream deleted", strike=faults.deleted_when_empty),
    Fault(
        name="maxmemory reached",
        strike=faults.out_of_memory,
        short_s=1,
        long_s=5,
        rounds=2,
        meanwhile=503,
    ),
    Fault(
        name="PostgreSQL stopped",
        strike=faults.store_stopped,
        short_s=5,
        long_s=20,
        rounds=2,
        meanwhile=202,
    ),
    Fault(
        name="clock stepped by an hour",
        strike=faults.clock_stepped,
        short_s=2.5,
        long_s=5,
        rounds=2,
        meanwhile=401,
        leaves=frozenset({"401 unauthorized"}),
    ),
    Fault(
        name="slow headers",
        strike=faults.slow_heads,
        short_s=1,
        long_s=10,
        rounds=1,
        meanwhile=202,
    ),
    Fault(
        name="slow bodies",
        strike=faults.slow_bodies,
        short_s=1,
        long_s=10,
        rounds=1,
        meanwhile=202,
    ),
    Fault(
        name="1,000 idle clients",
        strike=faults.idle_clients,
        short_s=1,
        long_s=10,
        rounds=1,
        meanwhile=202,
    ),
    Fault(name="clients vanish mid-request", strike=faults.vanishing_clients, rounds=2),
)

ON_DISKS = (
    Fault(
        name="queue unreachable, with a spool",
        strike=faults.queue_unreachable,
        short_s=2,
        long_s=10,
        meanwhile=202,
    ),
    Fault(
        name="queue's disk full",
        strike=faults.disk_full("queue"),
        short_s=2,
        long_s=10,
        meanwhile=202,
    ),
    Fault(
        name="spool's disk full, queue unreachable",
        strike=faults.spool_full,
        short_s=2,
        long_s=5,
        rounds=2,
        meanwhile=503,
    ),
    Fault(
        name="SQLite's disk full",
        strike=faults.disk_full("store"),
        short_s=2,
        long_s=10,
        meanwhile=202,
    ),
    Fault(
        name="kill -9 gateway, with a spool",
        strike=signalled(faults.gateway, signal.SIGKILL),
    ),
    Fault(
        name="kill -9 Valkey, with a spool",
        strike=signalled(faults.valkey, signal.SIGKILL),
    ),
)
