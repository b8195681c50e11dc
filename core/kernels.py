"""What each request runs over its bytes: no order of checks, no settings, nothing that changes.

Requirements  The interpreter and the heap cost a request more than the work itself does; yet the
              gateway must run wherever Python does, and its path must be read in one language.
Solution      The leaves of that path, and only they, exist twice: compiled, and in Python for where
              there is no compiler. Both are held to the same tests.
Cost          Whoever changes one changes the other.
"""

__all__ = [
    "NATIVE",
    "HeadTemplate",
    "Key",
    "counts_as_arguments",
    "entry_start",
    "is_well_formed",
    "openings",
    "response",
]

try:
    import core.kernels_native as chosen
except ImportError:  # it was not built, or not for this machine; NATIVE says so
    import core.kernels_python as chosen  # type: ignore[no-redef]

NATIVE = chosen.__name__ == "core.kernels_native"
HeadTemplate = chosen.HeadTemplate
Key = chosen.Key
counts_as_arguments = chosen.counts_as_arguments
entry_start = chosen.entry_start
is_well_formed = chosen.is_well_formed
openings = chosen.openings
response = chosen.response
