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
    "counts_as_arguments",
    "note",
    "responses",
]

from core import kernels

try:
    if not kernels.NATIVE:  # what is compiled takes no keys but those that are
        raise ImportError
    import core.standing_native as of_projects
    import core.usual_native as of_requests
except ImportError:
    import core.standing_python as of_projects  # type: ignore[no-redef]
    import core.usual_python as of_requests  # type: ignore[no-redef]

NATIVE = of_requests.__name__ == "core.usual_native"  # all that can be compiled is
Directory = of_projects.Directory
Gathered = of_requests.Gathered
Judge = of_requests.Judge
Standing = of_projects.Standing
counts_as_arguments = of_projects.counts_as_arguments
note = of_projects.note
responses = of_requests.responses
