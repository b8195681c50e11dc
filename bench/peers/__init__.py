"""Others doing the gateway's work, as their teams would write it: programs that a benchmark starts.

Each reads BENCH_PORT, BENCH_QUEUE_PORT and BENCH_SECRET from its environment.
"""
