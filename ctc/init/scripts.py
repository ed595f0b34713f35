"""How a project's own scripts are called: their flags, read from the source text without running it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctc.init.tables import is_visible

MARK = "# Written by `ctc init`; it is yours to change."
"""The first line of the scripts that `ctc init` writes: `--force` replaces those, and no others."""

TRAIN_NAMES = ("train", "training", "train_model", "fit", "model_train", "run_training")
PREDICT_NAMES = ("predict", "score", "scoring", "inference", "infer", "batch_predict", "prediction", "batch_score")
MAX_BYTES = 1_000_000

_ROLES: dict[str, re.Pattern[str]] = {
    "valid": re.compile(r"(valid|validation|val|eval|test|dev)(_|$).*"),
    "train": re.compile(r"(train|training|data|dataset|input|x_?train)(_?(data|dir|path|file|set|input|folder|uri))*"),
    "model": re.compile(
        r"(model|out|output|save|export|artifacts?|checkpoint)(_?(model|dir|path|file|out|to|folder))*"
    ),
}
_PREDICT_ROLES: dict[str, re.Pattern[str]] = {
    "predictions": re.compile(
        r"(out|output|pred|preds|predictions?|scores?|results?)(_?(dir|path|file|to|folder|out))*"
    ),
    "model": re.compile(r"(model|artifacts?|checkpoint)(_?(dir|path|file|folder))*"),
    "rows": re.compile(r"(rows|data|dataset|input|features|test|x|source)(_?(data|dir|path|file|set|folder|uri))*"),
}
_SAGEMAKER: dict[str, str] = {
    "SM_CHANNEL_TRAIN": "train",
    "SM_CHANNEL_TRAINING": "train",
    "SM_CHANNEL_VALIDATION": "valid",
    "SM_CHANNEL_VALID": "valid",
    "SM_CHANNEL_VAL": "valid",
    "SM_CHANNEL_TEST": "valid",
    "SM_MODEL_DIR": "model",
}
_CONSTANTS = {
    "SM_OUTPUT_DATA_DIR": "{model}",
    "SM_NUM_GPUS": "0",
    "SM_NUM_CPUS": "1",
    "SM_CURRENT_HOST": "algo-1",
    "SM_HOSTS": '["algo-1"]',
}
_SECRET = re.compile(r"(?i)password|passwd|secret|api_?key|access_?key|token|credential")
_HP = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Flag:
    """An option of a script. `name` has `_` for `-`; `spelling` is what one types, empty if positional."""

    name: str
    spelling: str
    default: Any = None
    required: bool = False
    switch: bool = False
    number: type[int] | type[float] | None = None
    variable: str = ""


@dataclass(frozen=True)
class Script:
    """A script as its text tells: `variables` of SageMaker that it reads, `strict` those without which it fails."""

    path: Path
    flags: tuple[Flag, ...] = ()
    variables: tuple[str, ...] = ()
    strict: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    relative: bool = False
    reads_csv: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Command:
    """Words with placeholders, what they leave open, and the hyperparameters that they name."""

    words: tuple[str, ...]
    todo: tuple[str, ...] = ()
    why: str = ""
    hyperparameters: dict[str, int | float] = field(default_factory=dict)


def find_scripts(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Python files of these names (without their suffix), the nearest and the first name first."""
    found: list[tuple[int, int, str, Path]] = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        depth = len(here.relative_to(folder).parts)
        folders[:] = [] if depth >= 3 else sorted(name for name in folders if is_visible(here / name))
        for file in files:
            stem = file.removesuffix(".py").lower()
            if file.endswith(".py") and stem in names and "test" not in here.parts:
                found.append((names.index(stem), depth, str(here / file), here / file))
    return tuple(path for *_, path in sorted(found))


def is_ours(path: Path) -> bool:
    """Whether a file is one that `ctc init` wrote."""
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def read_script(path: Path) -> Script:
    """What the text of a script says of its command line. A text that Python cannot read says why, in `problem`."""
    try:
        content = path.read_bytes()
        tree = ast.parse(content[: MAX_BYTES + 1] if len(content) <= MAX_BYTES else b"raise SystemExit", str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Script(path, problem=f"cannot be read as Python: {error.__class__.__name__}")
    flags = tuple(flag for node in ast.walk(tree) if (flag := _flag(node)) is not None)
    reads = [found for node in ast.walk(tree) for found in _environment(node)]
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return Script(
        path,
        tuple(dict.fromkeys(flags)),
        tuple(dict.fromkeys(name for name, _ in reads)),
        tuple(dict.fromkeys(name for name, must in reads if must)),
        tuple(node.name for node in tree.body if isinstance(node, ast.FunctionDef)),
        any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(tree)),
        "read_csv" in used and "read_parquet" not in used and "read_table" not in used,
    )


def train_command(script: Script, root: Path) -> Command:
    """The training command: every folder that the script asks for by its flags, or by SageMaker's variables."""
    return _command(script, root, _ROLES, ("train", "model"))


def predict_command(script: Script, root: Path) -> Command:
    return _command(script, root, _PREDICT_ROLES, ("model", "rows", "predictions"))


def _command(script: Script, root: Path, roles: dict[str, re.Pattern[str]], needed: Sequence[str]) -> Command:
    words, todo, hyperparameters = _start(script, root), list[str](), dict[str, int | float]()
    told: dict[str, str] = {}
    for flag in script.flags:
        role = _SAGEMAKER.get(flag.variable) if "train" in roles else None
        role = role or next((name for name, pattern in roles.items() if pattern.fullmatch(flag.name)), None)
        if role is not None and role not in told and not flag.switch and flag.number is None:
            told[role] = flag.spelling or flag.name
            words += [*_spelt(flag), _value(role, flag)]
        elif flag.number is not None and flag.default is not None and _HP.fullmatch(flag.name):
            if flag.spelling and not _SECRET.search(flag.name) and isinstance(flag.default, int | float):
                hyperparameters[flag.name] = flag.default
                words += [flag.spelling, f"{{hp.{flag.name}}}"]
        elif flag.required and not flag.switch:
            todo.append(f"say what {flag.spelling or flag.name} takes")
            words += [*_spelt(flag), "TODO"]
    given: list[str] = []
    for name in script.variables if "train" in roles else ():
        place = _SAGEMAKER.get(name)
        if place is not None and (place not in told or name in script.strict):
            given.append(f"{name}={{{place}}}")
        elif place is None and name in script.strict:
            given.append(f"{name}={_CONSTANTS.get(name, 'TODO')}")
            todo += [f"say what {name} is"] if name not in _CONSTANTS else []
    told |= {_SAGEMAKER[name]: name for name in script.variables if name in _SAGEMAKER and "train" in roles}
    missing = [role for role in needed if role not in told]
    if script.problem:
        todo.append(f"{script.path.name} {script.problem}; say how it is called")
    elif missing:
        listed = " and ".join(f"CTC_{role.upper()}" for role in missing)
        todo.append(f"{script.path.name} has no flag for {', '.join(missing)}: give it one, or read {listed}")
    if script.reads_csv:
        todo.append(f"{script.path.name} reads CSV; the folders that it gets hold data.parquet")
    why = f"{script.path.name} reads SageMaker's variables" if given else f"the flags of {script.path.name}"
    return Command((*(("env", *given) if given else ()), *words), tuple(todo), why, hyperparameters)


def _start(script: Script, root: Path) -> list[str]:
    relative = script.path.relative_to(root)
    if script.relative and (script.path.parent / "__init__.py").is_file():
        return ["python", "-m", ".".join(relative.with_suffix("").parts)]
    return ["python", relative.as_posix()]


def _spelt(flag: Flag) -> list[str]:
    return [flag.spelling] if flag.spelling else []


def _value(role: str, flag: Flag) -> str:
    """A folder, or the file in it that the flag asks for."""
    default = flag.default if isinstance(flag.default, str) else ""
    if role == "predictions":
        return "{predictions}"
    is_file = flag.name.endswith("file") or re.search(r"\.(parquet|pkl|pickle|joblib|json|txt|pt|onnx|bin)$", default)
    if not is_file:
        return f"{{{role}}}"
    if role == "model":
        return "{model}/" + (Path(default).name if Path(default).suffix else "model.pkl")
    return f"{{{role}}}/data.parquet"


def _flag(node: ast.AST) -> Flag | None:
    """An argparse `add_argument` or a click `option` or `argument`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr not in ("add_argument", "option", "argument"):
        return None
    names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    dashed = [name for name in names if name.startswith("-") and name.strip("-")]
    if not names or (node.func.attr == "option" and not dashed):
        return None
    options = {word.arg: word.value for word in node.keywords if word.arg}
    spelling = max(dashed, key=len) if dashed else ""
    name = (spelling or names[0]).lstrip("-").split("/")[0].replace("-", "_").lower()
    default = options.get("default")
    variable = next((found for found, _ in _environment_of(default)), "")
    constant = default.value if isinstance(default, ast.Constant) else None
    action = options.get("action")
    switch = (isinstance(action, ast.Constant) and action.value not in ("store", "append")) or "is_flag" in options
    required = options.get("required")
    must = isinstance(required, ast.Constant) and required.value is True
    return Flag(
        name,
        spelling,
        constant,
        must or (not dashed and "nargs" not in options and default is None),
        switch,
        _number(options.get("type"), constant),
        variable,
    )


def _number(kind: ast.expr | None, default: Any) -> type[int] | type[float] | None:
    named = kind.id if isinstance(kind, ast.Name) else ""
    if named in ("int", "float"):
        return int if named == "int" else float
    if isinstance(default, bool) or not isinstance(default, int | float):
        return None
    return type(default)


def _environment_of(node: ast.AST | None) -> Iterator[tuple[str, bool]]:
    for inner in ast.walk(node) if node is not None else ():
        yield from _environment(inner)


def _environment(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """The variables of SageMaker that an expression reads; True where it fails without one."""
    name: ast.expr | None = None
    must = False
    if isinstance(node, ast.Subscript) and _is_environ(node.value):
        name, must = node.slice, True
    elif isinstance(node, ast.Call) and _reads_environ(node.func) and node.args:
        name = node.args[0]
    if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.startswith("SM_"):
        yield name.value, must


def _reads_environ(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute):
        return False
    return function.attr == "getenv" or (function.attr == "get" and _is_environ(function.value))


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )
