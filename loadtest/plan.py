"""What a run is to do: everything that makes it repeatable, in one value."""

from typing import Literal

import msgspec

Profile = Literal["single", "batch", "mixed", "hostile"]
Arrivals = Literal["constant", "poisson"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run. `rate_s` is requests per second over all processes; None is as fast
    as the answers come (closed loop)."""

    url: str
    project: str
    secret: str
    run: str  # an id that no other run has
    seed: int = 0
    profile: Profile = "single"
    arrivals: Arrivals = "constant"
    rate_s: float | None = None
    duration_s: float = 10.0
    connections: int = 64  # over all processes
    processes: int = 1
    batch_size: int = 100
    payload_bytes: int = 600
    gzip: bool = False
    verify: bool = False
    attempts_max: int = 1  # of a request that got no answer, or one that time cures
    hostile_share: float = 0.2  # of requests, in the profile `hostile`
    request_timeout_s: float = 30.0
