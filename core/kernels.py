"""What each request runs over its bytes: no order of checks, no settings, nothing that changes.

Requirements  The interpreter and the heap cost a request more than the work itself does; yet the
              gateway must run wherever Python does, and its path must be read in one language.
Solution      The leaves of that path exist twice: compiled, and in Python for where there is no
              compiler. Both are held to the same tests. So does its innermost loop (core/usual.py),
              and nothing else.
Cost          Whoever changes one changes the other.
"""

__all__ = [
    "NATIVE",
    "Head",
    "HeadTemplate",
    "Key",
    "is_well_formed",
    "only_request",
    "openings",
]

try:
    import core.kernels_native as chosen
except ImportError:  # it was not built, or not for this machine; NATIVE says so
    import core.kernels_python as chosen  # type: ignore[no-redef]

NATIVE = chosen.__name__ == "core.kernels_native"
Head = chosen.Head
HeadTemplate = chosen.HeadTemplate
Key = chosen.Key
is_well_formed = chosen.is_well_formed
only_request = chosen.only_request
openings = chosen.openings
