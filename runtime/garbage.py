"""The search for cyclic garbage, out of the way of the work.

What the work makes is freed as soon as nobody refers to it. A search for cycles looks at every
object that may be part of one: those of all the modules too, unless they are set aside, for which
a request that is under way would wait ten milliseconds.
"""

import gc

SELDOM = (100_000, 50, 100)  # new objects, and passes of each generation, before a collection


def set_aside() -> None:
    """After the start: collect what it has left, pass by what stays, and search seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SELDOM)
