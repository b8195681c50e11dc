"""The structure that the documentation promises, held by reading the source: no module is run."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Reason
from core.metrics import Metric
from core.settings import PREFIX, table

ROOT = Path(__file__).parent.parent
# Package: what it may import of ours.
ARROWS = {
    "core": set(),
    "runtime": {"core"},
    "store": {"core"},
    "gateway": {"core", "runtime", "store"},
    "worker": {"core", "runtime", "store"},
    "loadtest": {"core"},
    "cli": {"core", "runtime", "store", "gateway", "worker", "loadtest"},
    "bench": {"core", "runtime", "store", "gateway", "worker", "loadtest", "cli"},
}
MIRRORED = (*ARROWS, "gateway/api")  # each folder whose modules have tests of their own
CORE_MAY_IMPORT = {"msgspec", "backports", "compression"}
IMPURE = {
    "asyncio",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "urandom"}
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50


def modules(package: str) -> list[Path]:
    """The source files of a package, its migrations aside."""
    return [p for p in sorted((ROOT / package).rglob("*.py")) if "versions" not in p.parts]


def sources() -> list[Path]:
    """Every Python file of the project, tests too."""
    return [p for package in (*ARROWS, "tests") for p in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", ARROWS)
def test_arrows(package: str) -> None:
    """A package imports only those of ours that the architecture lets it see."""
    for path in modules(package):
        ours = set(imported(path)) & (set(ARROWS) | {"tests"})
        assert ours <= ARROWS[package] | {package}, path


def test_core_imports() -> None:
    """The core imports the standard library and msgspec, and nothing that touches the world."""
    for path in modules("core"):
        for name in imported(path):
            assert name in sys.stdlib_module_names | CORE_MAY_IMPORT | {"core"}, (path, name)
            assert name not in IMPURE, (path, name)


def test_core_calls() -> None:
    """The core reads no clock, no file and no randomness."""
    for path in modules("core"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else ""
                name = function.id if isinstance(function, ast.Name) else name
                assert name not in IMPURE_CALLS, f"{path}:{node.lineno} {name}()"


def test_system_tests_import_nothing_of_ours() -> None:
    """The system tests see the product as users do."""
    for path in (ROOT / "tests/system").glob("*.py"):
        assert not set(imported(path)) & set(ARROWS), path


@pytest.mark.parametrize("package", MIRRORED)
def test_mirror(package: str) -> None:
    """Each module has its test file, or several: test_MODULE.py, test_MODULE_ASPECT.py."""
    names = {p.stem for p in modules(package) if p.parent == ROOT / package}
    names -= {"__init__"}
    tested = set()
    for path in (ROOT / "tests" / package).glob("test_*.py"):
        stem = path.stem.removeprefix("test_")
        ours = [name for name in names if stem == name or stem.startswith(f"{name}_")]
        assert ours, f"{path}: of which module?"
        tested.add(max(ours, key=len))
    assert names == tested


def test_sizes() -> None:
    """Modules and functions stay readable at one sitting."""
    for path in sources():
        text = path.read_text()
        assert text.count("\n") <= MODULE_LINES_MAX, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= FUNCTION_LINES_MAX, f"{path}:{node.lineno} {node.name}"


def rows(page: str) -> set[tuple[str, ...]]:
    """The rows of all tables on a page of the documentation, without backticks."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    cells = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines if line.startswith("|"))
    return {tuple(cell.strip(" `") for cell in row) for row in cells}


def test_settings_are_documented() -> None:
    """docs/OPERATIONS.md has each setting as the table in the code has it."""
    for name, default, meta in table():
        assert (PREFIX + name.upper(), default, meta["help"]) in rows("OPERATIONS.md"), name


def test_metrics_are_documented() -> None:
    """docs/OPERATIONS.md has each metric as the table in the code has it."""
    for metric in Metric:
        declared = metric.value
        row = (metric.full_name, declared.kind, ", ".join(declared.labels), declared.help)
        assert row in rows("OPERATIONS.md"), metric


def alarms() -> Iterator[tuple[str, str]]:
    """(the line, each alarm in its first column) of the tables of alarms in docs/OPERATIONS.md."""
    page = (ROOT / "docs/OPERATIONS.md").read_text()
    section = page.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            for alarm in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
                yield line, alarm


def test_alarms_exist() -> None:
    """Each metric, log line and sentence in the tables of alarms is one that the code has."""
    metrics = {metric.full_name for metric in Metric}
    code = "".join(p.read_text() for name in ARROWS for p in modules(name))
    assert len(list(alarms())) > 30
    for line, alarm in alarms():
        if alarm.startswith(PREFIX.lower()):
            assert alarm in metrics, line
        elif not alarm.startswith(PREFIX):
            assert alarm.strip('"') in code, line


def test_reasons_are_documented() -> None:
    """docs/PROTOCOL.md has each reason with its status and sentence."""
    for reason in Reason:
        found = [row for row in rows("PROTOCOL.md") if row[:2] == (reason.code, str(reason.status))]
        assert len(found) == 1, reason
        assert reason.sentence in found[0], reason


@pytest.mark.parametrize("lock", ["run", "dev", "build", "bench"])
def test_locks(lock: str) -> None:
    """Each locked requirement has hashes, and no lock file names an index."""
    text = (ROOT / f"requirements/{lock}.lock").read_text()
    assert "://" not in text
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert all("==" in r and "--hash=sha256:" in r for r in requirements)


def test_links_in_the_documentation() -> None:
    """Each relative link in the documentation leads to a file."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
