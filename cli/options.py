"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataDirectory = Annotated[
    Path | None,
    typer.Option(
        envvar="CONTOX_DATA_DIR",
        help="The data directory of `up`, instead of CONTOX_DATABASE_URL.",
    ),
]
NameOrId = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name or id.")]
