"""The shape of the code: which way imports point, how long modules are, what a cold start loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ctc import targets

ROOT = Path(__file__).resolve().parent.parent

# The ground floor first: a module imports only what stands above it, or its own floor.
FLOORS = (
    "value",
    "diagnostics",
    "language",
    "compiler",
    "policy",
    "steps",
    "deploy",
    "targets",
    "package",
    "cost",
    "graph",
    "init",
    "step",
    "run",
    "service",
    "doctor",
    "review",
    "report",
    "diff",
    "cli",
)
FREE = ("schemas", "__init__")
"""Data and the version: anybody may read them."""

PACKAGE_FILES = sorted(
    [path for path in (ROOT / "ctc").rglob("*.py") if not path.is_symlink()] + list((ROOT / "targets").rglob("*.py"))
)
PACKAGE_FILES = [path for path in PACKAGE_FILES if "ctc/targets" not in path.as_posix()]


def module_of(path: Path) -> tuple[str, ...]:
    relative = path.relative_to(ROOT).with_suffix("").parts
    parts = relative[1:] if relative[0] == "ctc" else relative
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def imports_of(path: Path) -> list[tuple[tuple[str, ...], int]]:
    """Every module of ctc that a file imports, lazily or for typing too, with its line."""
    found: list[tuple[tuple[str, ...], int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ctc":
            parts = tuple(node.module.split("."))[1:]
            found += [((parts or (alias.name,)), node.lineno) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [
                (tuple(alias.name.split("."))[1:], node.lineno)
                for alias in node.names
                if alias.name.split(".")[0] == "ctc"
            ]
    return found


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_inward(path: Path) -> None:
    own = module_of(path)
    if own[0] not in FLOORS:
        return
    for imported, line in imports_of(path):
        if not imported or imported[0] not in FLOORS:
            continue
        assert FLOORS.index(imported[0]) <= FLOORS.index(own[0]), f"{path.name}:{line} imports {'.'.join(imported)}"


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_target_imports_another(path: Path) -> None:
    own = module_of(path)
    if own[0] != "targets" or len(own) < 2 or own[1] not in targets.NAMES:
        return
    for imported, line in imports_of(path):
        if imported[:1] == ("targets",) and len(imported) > 1:
            assert imported[1] not in targets.NAMES or imported[1] == own[1], f"{path.name}:{line}"


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_shell_prints_or_exits(path: Path) -> None:
    """The step, what runs in the user's image, and `kfp_rehearse.py` are programs of their own."""
    own_image = {("step",), ("targets", "kfp_rehearse"), ("__main__",)}
    programs = own_image | {("steps", program) for program in ("shim", "probe", "adapter", "nodes", "with_secrets")}
    own = module_of(path)
    if own[0] == "cli" or own in programs:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit"}, f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            assert node.attr != "exit", f"{path.name}:{node.lineno}"


def test_the_policy_does_no_input_or_output() -> None:
    """Deciding is pure: no files, no clock, no environment, no randomness without a seed."""
    forbidden = {"os", "io", "time", "random", "pathlib", "subprocess", "socket", "sqlite3", "logging", "tempfile"}
    for path in (ROOT / "ctc" / "policy").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.split(".")[0] for name in names} & forbidden, f"{path.name}: {names}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"now", "utcnow", "today"}, f"{path.name}:{node.lineno} reads the clock"


SDKS = (
    "kfp",
    "sagemaker",
    "boto3",
    "botocore",
    "google",
    "azure",
    "mlflow",
    "ibis",
    "duckdb",
    "numpy",
    "pandas",
    "pyarrow",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "specs/minimal.yaml"],
        ["compile", "specs/minimal.yaml", "--stdout"],
        ["diff", "specs/minimal.yaml", "specs/everywhere.yaml"],
        ["cost", "specs/minimal.yaml"],
        ["schema"],
        ["--help"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_offline_verbs_import_no_sdk(arguments: list[str]) -> None:
    """Nor do they open a socket or read the clock's zone files of an SDK: they start fast and run anywhere."""
    program = (
        "import sys, socket\n"
        # Google's SDK has a .pth file that makes its empty namespace in every interpreter.
        "before = set(sys.modules)\n"
        "def refuse(*_): raise SystemExit('opened a socket')\n"
        "socket.socket.connect = refuse\n"
        "from ctc.cli import _group\n"
        "from ctc.cli.common import guarded\n"
        f"code = guarded(_group(), {arguments!r})\n"
        f"loaded = sorted(set(name.split('.')[0] for name in set(sys.modules) - before) & set({SDKS!r}))\n"
        "print('LOADED', loaded, 'CODE', code, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stderr.splitlines()[-1] == "LOADED [] CODE 0", done.stderr
