from core.usual_python import Gathered as Gathered
from core.usual_python import Judge as Judge
from core.usual_python import responses as responses
