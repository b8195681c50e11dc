from core.usual_python import Directory as Directory
from core.usual_python import Gathered as Gathered
from core.usual_python import Judge as Judge
from core.usual_python import Standing as Standing
from core.usual_python import Tally as Tally
from core.usual_python import counts_as_arguments as counts_as_arguments
from core.usual_python import note as note
from core.usual_python import responses as responses
