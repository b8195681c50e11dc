"""The usual request: one event, signed with its project's only secret, in a session that is open.

Requirements  Most requests are usual; what they cost is what a gateway costs, with one project or a
              hundred thousand. They must be judged exactly as gateway/admission.py judges, by the
              same rules and in the same order.
Solution      All that have arrived together go through one loop, which exists twice, as the kernels
              do (core/kernels.py): its order of checks is read in core/usual_python.py. The
              compiled one fetches what it needs of all their projects at once, since memory is far.
              Here nothing is ever refused: whatever is not usual, or not right, goes to admission
              as if it had not been here.
Cost          Whoever changes one changes the other. A signature that is wrong is computed twice:
              for a project that does not exist, too.
"""

__all__ = [
    "NATIVE",
    "Directory",
    "Gathered",
    "Judge",
    "Standing",
    "Tally",
    "counts_as_arguments",
    "note",
    "responses",
]

from core import kernels

try:
    if not kernels.NATIVE:  # what is compiled takes no keys but those that are
        raise ImportError
    import core.usual_native as chosen
except ImportError:
    import core.usual_python as chosen  # type: ignore[no-redef]

NATIVE = chosen.__name__ == "core.usual_native"  # all that can be compiled is
Directory = chosen.Directory
Gathered = chosen.Gathered
Judge = chosen.Judge
Standing = chosen.Standing
Tally = chosen.Tally
counts_as_arguments = chosen.counts_as_arguments
note = chosen.note
responses = chosen.responses
