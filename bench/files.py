"""How many files, and so connections, this process and those that it starts may have open."""

import resource

from bench.processes import BenchError


def allow_files(wanted: int) -> None:
    """Raise the limit to `wanted` if it is lower. Raises BenchError if the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (OSError, ValueError):
        raise BenchError(f"{wanted} files cannot be open, only {hard}; see ulimit -Hn") from None
