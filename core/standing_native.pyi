from core.standing_python import Directory as Directory
from core.standing_python import Standing as Standing
from core.standing_python import counts_as_arguments as counts_as_arguments
from core.standing_python import note as note
