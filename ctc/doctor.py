"""What this installation has, and what a spec needs of this machine. Looks, and changes nothing.

No network is asked, but for the service of a target that is named: `ctc.service`.
"""

from __future__ import annotations

import ast
import glob
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctc import __version__
from ctc.diagnostics import CtcError, Severity
from ctc.language.load import load_spec
from ctc.language.spec import Spec
from ctc.run.machine import user_python

DISTRIBUTION = "ctc-compiler"
LITTLE_DISK, TOO_LITTLE_DISK = 2 * 10**9, 10**8
"""A run keeps each attempt's rows and models; below the first number a few of them fill the disk."""

MODULES = {"ibis-framework": "ibis", "mlflow-skinny": "mlflow", "pyyaml": "yaml"}
"""The module of a package, where it is not named like it."""

BASE, REHEARSED_BY = "", {"kubeflow": "kubeflow", "sagemaker": "", "vertex": "kubeflow", "azureml": ""}
"""The extra that `ctc run` needs for a target, beside `runtime`."""

CREDENTIALS = {
    "kubeflow": "access to the cluster's API",
    "sagemaker": "AWS credentials that may use the role and the bucket",
    "vertex": "Google Cloud credentials that may act as the service account",
    "azureml": "Azure credentials that may use the workspace",
}

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?([^;]*)(?:;.*extra == ['\"]([^'\"]+)['\"])?")
_CONDITION = re.compile(r"(~=|==|!=|>=|<=|<|>)\s*([0-9][0-9A-Za-z.*]*)")

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Check:
    """One answer. `advice` says what to do; it is empty where all is well. `skip`: it cannot be told from here."""

    status: Status
    what: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Question:
    """What to look at. Without `spec` only the installation is judged."""

    spec: Path | None = None
    environment: str | None = None
    targets: tuple[str, ...] = ()
    python: str | None = None
    state: Path | None = None
    offline: bool = False
    """Ask no service, not even that of a target which is named."""


def examine(question: Question) -> tuple[Check, ...]:
    """Every check, those of the installation first. Nothing that is wrong raises: it is an answer."""
    checks = [*_installation(), *_place(question)]
    loaded = None
    if question.spec is not None:
        loaded, found = _spec(question.spec, question.environment)
        checks += found
    named = tuple(loaded.targets) if loaded is not None else ()
    targets = question.targets or named
    checks += _extras(required=_required(targets, running=question.spec is not None))
    if loaded is not None and question.spec is not None:
        checks += _needs(loaded, question.spec.absolute().parent, question.python)
    for target in targets:
        checks += _target(target, loaded, question)
    return tuple(checks)


def satisfies(version: str, conditions: str) -> bool:
    """Whether a version is in a range such as `>=2.17,<3`; by its numbers, what follows them counts for nothing."""
    own = _numbers(version)
    for sign, bound in _CONDITION.findall(conditions):
        limit = _numbers(bound)
        cut = own[: len(limit)] if bound.endswith("*") else own
        answers = {
            ">=": own >= limit,
            "<=": own <= limit,
            ">": own > limit,
            "<": own < limit,
            "==": cut == limit,
            "!=": cut != limit,
            "~=": own >= limit and own[: len(limit) - 1] == limit[:-1],
        }
        if not answers[sign]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version without trailing zeros, so that 2.0 is 2."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _installation() -> Iterator[Check]:
    yield Check("ok", "ctc", __version__)
    python = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    yield Check(
        "fail" if old else "ok", "python", f"{python}, {sys.executable}", "install 3.11 or newer" if old else ""
    )
    if importlib.util.find_spec("fcntl") is None:
        yield Check("warn", "system", sys.platform, "ctc run needs Linux or macOS; validate and compile work here")
    yield from _packages(BASE, required=True)
    yield _yaml()
    yield _zones()
    yield _bytecode()
    git = shutil.which("git")
    yield Check("ok", "git", git) if git else Check("warn", "git", "not on PATH", "install git to review changes by")
    encoding = (getattr(sys.stdout, "encoding", None) or "none").lower()
    plain = encoding.replace("-", "") != "utf8"
    yield Check("warn" if plain else "ok", "output", encoding, "set PYTHONUTF8=1 to see every name" if plain else "")


def _yaml() -> Check:
    if importlib.util.find_spec("yaml") is None:
        return Check("fail", "yaml", "pyyaml is missing", f"pip install {DISTRIBUTION}")
    import yaml

    if getattr(yaml, "__with_libyaml__", False):
        return Check("ok", "yaml", "reads with libyaml")
    return Check("warn", "yaml", "reads without libyaml, about ten times slower", "install pyyaml from a wheel")


def _zones() -> Check:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("Europe/Oslo")
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return Check("fail", "time zones", "there is no database of them", "pip install tzdata")
    return Check("ok", "time zones", "Europe/Oslo is known")


def _bytecode() -> Check:
    """Of the modules that loading a spec imports: what every verb pays for at its start."""
    specs = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, "__spec__", None) is not None]
    paths = {spec.origin: spec.cached for spec in specs if spec and spec.cached and str(spec.origin).endswith(".py")}
    # The standard library ships with its bytecode.
    ours = {origin: cached for origin, cached in paths.items() if _is_package(str(origin))}
    missing = sorted(str(origin) for origin, cached in ours.items() if not Path(str(cached)).is_file())
    if not missing:
        return Check("ok", "bytecode", f"{len(ours)} modules are compiled")
    folder = Path(__file__).resolve().parent
    return Check(
        "warn",
        "bytecode",
        f"{len(missing)} of {len(ours)} modules have no bytecode and are compiled again at every start",
        f"python -m compileall -q {folder}" + ("" if str(folder) in missing[0] else f" {Path(missing[0]).parent}"),
    )


def _is_package(origin: str) -> bool:
    return "site-packages" in origin or "dist-packages" in origin or origin.startswith(str(Path(__file__).parent))


def _requirements() -> list[tuple[str, str, str]]:
    """Package, range and extra of all that ctc may use; none where ctc runs from a folder, uninstalled."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [match for line in lines if (match := _REQUIREMENT.match(line))]
    return [(match[1].lower(), match[2].strip(), match[3] or BASE) for match in found]


def _extras(required: Sequence[str]) -> Iterator[Check]:
    known = list(dict.fromkeys(extra for _, _, extra in _requirements()))
    for extra in known:
        if extra not in (BASE, "all", "dev"):
            yield from _packages(extra, required=extra in required)


def _packages(extra: str, *, required: bool) -> Iterator[Check]:
    """One line for the packages of an extra, and one for each that is not what it should be."""
    what = f"extra {extra}" if extra else "packages"
    advice = f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install --upgrade {DISTRIBUTION}"
    wanted = [(name, conditions) for name, conditions, own in _requirements() if own == extra]
    if not wanted:
        yield Check("warn", what, "ctc is not installed: it runs from a folder", f"pip install {DISTRIBUTION}")
        return
    versions = {name: _version(name) for name, _ in wanted}
    missing = [name for name, version in versions.items() if not version]
    if missing:
        yield Check("fail" if required else "warn", what, f"missing: {', '.join(missing)}", advice)
    wrong = [
        f"{name} {versions[name]} (wanted {conditions})"
        for name, conditions in wanted
        if versions[name] and not satisfies(versions[name], conditions)
    ]
    if wrong:
        yield Check("fail" if required else "warn", what, ", ".join(wrong), advice)
    if not missing and not wrong:
        yield Check("ok", what, ", ".join(f"{name} {version}" for name, version in versions.items()))


def _version(name: str) -> str:
    """The installed version; empty if the package, or the module that it should bring, is not there."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return version if importlib.util.find_spec(MODULES.get(name, name.replace("-", "_"))) is not None else ""


def _place(question: Question) -> Iterator[Check]:
    folder = question.state or (question.spec.absolute().parent if question.spec is not None else Path()) / ".ctc"
    near = folder.absolute()
    while not near.exists() and near != near.parent:
        near = near.parent
    try:
        with tempfile.TemporaryFile(dir=near):
            yield Check("ok", "state folder", str(folder))
    except OSError as error:
        yield Check("fail", "state folder", f"{near}: {error.strerror or error}", "name another with --state")
    free = shutil.disk_usage(near).free
    status: Status = "fail" if free < TOO_LITTLE_DISK else "warn" if free < LITTLE_DISK else "ok"
    advice = "make room: a run keeps its rows and models" if status != "ok" else ""
    yield Check(status, "disk", f"{free / 10**9:.1f} GB free", advice)


def _spec(path: Path, environment: str | None) -> tuple[Spec | None, list[Check]]:
    loaded = load_spec(path, environment, None)
    errors = [item for item in loaded.diagnostics if item.severity is Severity.ERROR]
    command = f"ctc validate {path}" + (f" --env {environment}" if environment else "")
    if errors:
        first = f"{len(errors)} errors, the first: {errors[0].message}"
        return None, [Check("fail", "spec", first, errors[0].help if errors[0].code == "CT220" else command)]
    count = sum(item.severity is Severity.WARNING for item in loaded.diagnostics)
    if count:
        return loaded.spec, [Check("warn", "spec", f"{path}: valid, with {count} warnings", command)]
    return loaded.spec, [Check("ok", "spec", f"{path}: valid")]


def _needs(spec: Spec, folder: Path, python: str | None) -> Iterator[Check]:
    for source in spec.sources:
        if source.path is not None:
            yield _source(source.name, source.path, folder)
    code = folder / spec.training.code
    if not code.is_dir():
        yield Check("fail", "training code", f"{code} is no folder", "mend training.code")
        return
    try:
        found = user_python(python, folder)
        yield Check("ok", "user's python", found)
    except CtcError as error:
        found = ""
        yield Check("fail", "user's python", error.message, error.help)
    for name, argv in (("argv", spec.training.argv), ("predict", spec.training.predict)):
        yield from _command(f"training.{name}", argv, code, found)


def _source(name: str, path: str, folder: Path) -> Check:
    what = f"source {name}"
    if "://" in path and not path.startswith("file://"):
        return Check("skip", what, f"{path}: not checked offline")
    place = folder / path.removeprefix("file://")
    if place.is_file():
        return Check("ok", what, path)
    # An absolute pattern, which Path.glob does not take.
    pattern = f"{glob.escape(str(place))}/**/*" if place.is_dir() else str(place)
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207
    count = sum(re.search(r"\.(parquet|csv|tsv)(\.gz)?$", file, re.IGNORECASE) is not None for file in found)
    if count:
        return Check("ok", what, f"{path}: {count} files")
    missing = "a folder without files of its kind" if place.is_dir() else "there is no such file"
    return Check("fail", what, f"{path}: {missing}", "mend its path, or bring the data")


def _command(what: str, argv: Sequence[str], code: Path, python: str) -> Iterator[Check]:
    """Whether the program and the script of a command are there, and what the script imports."""
    words = [word for word in argv if word != "env" and "=" not in word]
    if not words:
        yield Check("skip", what, "the image's own program")
        return
    program = words[0]
    if not re.fullmatch(r"python[0-9.]*", program) and shutil.which(program) is None:
        yield Check("warn", what, f"{program} is not on PATH", "install it, or call it by a path that is in the image")
        return
    script = _script(words, code)
    if script is None:
        yield Check("skip", what, f"{program}: which script it runs is not known")
    elif not script.is_file():
        yield Check("fail", what, f"there is no {script}", "mend the command, or training.code")
    else:
        missing = _missing_imports(script, code, python) if python else []
        if missing:
            yield Check(
                "fail",
                what,
                f"{script.name} imports {', '.join(missing)}, which {python} does not have",
                "install it there, or name another interpreter with --python",
            )
        else:
            yield Check("ok", what, str(script))


def _script(words: Sequence[str], code: Path) -> Path | None:
    if "-m" in words[1:2] and len(words) > 2:
        place = code.joinpath(*words[2].split("."))
        return place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
    return next((code / word for word in words[1:2] if word.endswith(".py")), None)


def _missing_imports(script: Path, code: Path, python: str) -> list[str]:
    """The modules that a script imports when it starts and that an interpreter cannot find. Nothing is imported."""
    try:
        tree = ast.parse(script.read_bytes())
    except (SyntaxError, ValueError):
        return []
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    names = {
        name
        for name in names
        if not any((place / name).exists() or (place / f"{name}.py").exists() for place in (code, script.parent))
    }
    program = "import importlib.util, sys; print(*[n for n in sys.argv[1:] if importlib.util.find_spec(n) is None])"
    command = [python, "-c", program, *sorted(names)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()


def _required(targets: Sequence[str], *, running: bool) -> tuple[str, ...]:
    return (*(("runtime",) if running else ()), *(REHEARSED_BY.get(target, target) for target in targets))


def _target(target: str, spec: Spec | None, question: Question) -> Iterator[Check]:
    what = f"target {target}"
    if spec is not None and question.spec is not None:
        if target not in spec.targets:
            yield Check("fail", what, "the spec has no section for it", f"add `{target}:` under `targets:`")
            return
        errors = [
            item
            for item in load_spec(question.spec, question.environment, target).diagnostics
            if item.severity is Severity.ERROR
        ]
        command = f"ctc validate {question.spec} --target {target}"
        yield (
            Check("fail", what, errors[0].message, command) if errors else Check("ok", what, "the spec is valid for it")
        )
        if not errors and target in question.targets and not question.offline:
            from ctc.service import asked

            for item in asked(question.spec, question.environment, target):
                yield Check(item.status, f"{what}, {item.place}", item.cause, item.advice)
            return
    yield Check("skip", f"{what}, deploy", f"needs {CREDENTIALS.get(target, 'credentials')}: not checked offline")
