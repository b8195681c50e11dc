"""The table of a case that is a benchmark in its own right, with its own plan and figures."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Result = Mapping[str, Any]


def measured(title: str, measure: Callable[[], Result | Awaitable[Result]]) -> dict[str, Any]:
    """Run a `measure`, plain or async, with its own defaults; its numbers are the rows of a table.

    A result that is a table already stays as it is. Members that hold numbers become a row each;
    the numbers at the top become one row.
    """
    found = measure()
    result = asyncio.run(_finished(found)) if inspect.isawaitable(found) else found
    if "rows" in result:
        return {"title": title, **result}
    rows = {name: numbers(part) for name, part in result.items() if isinstance(part, Mapping)}
    top = {"": numbers(result)} if numbers(result) else {}
    return {"title": title, "rows": {**{name: row for name, row in rows.items() if row}, **top}}


def numbers(part: Result) -> dict[str, float]:
    """The members that are figures."""
    return {
        name: float(value)
        for name, value in part.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


async def _finished(found: Awaitable[Result]) -> Result:
    return await found
