"""From a folder to the files that `ctc init` writes: read, guess, propose, check the result, write it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files as resources
from pathlib import Path

from ctc.diagnostics import CtcError, Severity
from ctc.init.guess import guess
from ctc.init.parts import Data, Guess, Wishes
from ctc.init.project import Project, read_project, slug
from ctc.init.propose import YOURS, Plan, needs_adapter, propose
from ctc.init.scripts import MARK, Script, is_ours
from ctc.init.tables import Database, Table, csv_files, find, profile
from ctc.init.volume import Volume, measure
from ctc.language.emit import emit
from ctc.language.load import load_spec

SCHEMA = "ct.schema.json"
"""The schema's file beside the spec, where an editor is to know it."""


@dataclass(frozen=True)
class Request:
    """What was asked for. `folder` is read, `spec` is the file to write; `data` a table, or a folder of them."""

    folder: Path
    spec: Path
    name: str | None
    targets: tuple[str, ...]
    wishes: Wishes
    data: Path | None = None
    force: bool = False
    editor: bool = False


@dataclass(frozen=True)
class Created:
    """The texts to write by path, the spec first, and what to tell the user."""

    files: Mapping[Path, str]
    plan: Plan

    @property
    def todos(self) -> int:
        return next(iter(self.files.values())).count(f"# {YOURS}")


Answer = Callable[[Plan], "tuple[str, Wishes] | None"]
"""Asks the user, who sees what was guessed; None if they change nothing."""


def create(request: Request, ask: Answer | None = None) -> Created:
    """The files for a request; nothing is written. CtcError, with what is missing, where no spec can be made."""
    project = read_project(request.folder, ours_too=not request.force)
    with Database() as database:
        tables = _tables(database, request)
        plan = _plan(database, tables, request, project)
        answered = ask(plan) if ask is not None else None
        if answered is not None:
            plan = _plan(database, tables, replace(request, name=answered[0], wishes=answered[1]), project)
    return Created(_files(plan, request), plan)


def check(created: Created) -> None:
    """CtcError if the spec has errors, in itself or on one of its targets."""
    spec, text = next(iter(created.files.items()))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / spec.name
        file.write_text(text, encoding="utf-8")
        for target in (None, *created.plan.targets):
            errors = [item for item in load_spec(file, None, target).diagnostics if item.severity is Severity.ERROR]
            if errors:
                raise CtcError(
                    f"what was found makes no valid spec: {errors[0].path or 'the spec'}: {errors[0].message}",
                    errors[0].help or "rename what is named there, or write the spec by hand",
                )


def write(created: Created, *, force: bool) -> None:
    """Writes every file, each whole or not at all. CtcError, before anything is written, if one is there already."""
    for path in created.files:
        if path.exists() and not (force and path.is_file()):
            raise CtcError(f"{path} exists already", "name another file with --out, or replace it with --force")
    for path, text in created.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text)


def _write(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()


def _plan(database: Database, tables: Sequence[Table], request: Request, project: Project) -> Plan:
    data: Data = guess(database, tables, request.wishes)
    volume: Volume = measure(database, data)
    return Plan(request.spec.parent, _name(request), data, volume, project, _required(request.targets))


def _tables(database: Database, request: Request) -> tuple[Table, ...]:
    place = request.data or request.folder
    if not place.exists():
        raise CtcError(f"there is no {place}", "name a Parquet file, or a folder of them, with --data")
    found = (place,) if place.is_file() else find(place)
    if place.is_file() and place.suffix.lower() in (".csv", ".tsv"):
        found = ()
    if not found:
        raise _no_data(place)
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise CtcError(f"the name of {str(path)!r} is not UTF-8", "rename the file") from error
    return tuple(_readable(profile(database, path)) for path in found)


def _readable(table: Table) -> Table:
    if not table.columns:
        raise CtcError(f"{table.path} has no columns", "mend the file, or move it away")
    return table


def _no_data(place: Path) -> CtcError:
    csv = (place,) if place.is_file() else csv_files(place)
    if not csv:
        return CtcError(f"there is no Parquet data in {place}", "name the file or the folder with --data")
    source, result = json.dumps(str(csv[0])), json.dumps(str(csv[0].with_suffix(".parquet")))
    program = f"import duckdb; duckdb.read_csv({source}).write_parquet({result})"
    return CtcError(
        f"{place} holds CSV only ({csv[0].name}); a spec reads Parquet",
        f"convert it: python -c {shlex.quote(program)}",
    )


def _name(request: Request) -> Guess[str]:
    if request.name is not None:
        if slug(request.name, 40) != request.name:
            plain = slug(request.name) or "my-model"
            raise CtcError(f"--name {request.name}: a name is lower-case letters, digits and `-`", f"write {plain}")
        return Guess(request.name)
    found = slug(request.folder.resolve().name)
    return Guess(found, "the folder's name") if found else Guess("my-model", "the folder's name gives none", True)


def _required(targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    schema = json.loads((resources("ctc.schemas") / "ct.v1.schema.json").read_text(encoding="utf-8"))
    known = schema["properties"]["targets"]["properties"]
    return {name: tuple(known.get(name, {}).get("required", ())) for name in targets}


def _files(plan: Plan, request: Request) -> dict[Path, str]:
    head = [f"yaml-language-server: $schema={SCHEMA}"] if request.editor else []
    head.append(f"Written by `ctc init`. `guessed` says why a value was chosen; {YOURS} is for you.")
    texts = {request.spec: emit(propose(plan), head), **_scripts(plan)}
    if request.editor:
        schema = resources("ctc.schemas") / "ct.v1.schema.json"
        texts[request.spec.parent / SCHEMA] = schema.read_text(encoding="utf-8")
    return texts


def _scripts(plan: Plan) -> dict[Path, str]:
    """The scripts that are missing. One that the user wrote is never replaced."""
    train, folder = plan.project.train, plan.code
    keys = plan.data.key.value
    context = {
        "mark": MARK,
        "task": plan.data.task.value,
        "label": plan.data.label.value,
        "output": "score" if plan.data.task.value == "binary" else "prediction",
        "estimator": f"HistGradientBoosting{'Classifier' if plan.data.task.value == 'binary' else 'Regressor'}",
        "not_features": _not_features(plan, keys),
    }
    if train is None:
        for name in ("train.py", "predict.py"):
            if (folder / name).is_file() and not is_ours(folder / name):
                raise CtcError(
                    f"{folder / name} is there without its counterpart", "name the project with --from FOLDER"
                )
        return {folder / name: _rendered(f"{name}.j2", context) for name in ("train.py", "predict.py")}
    if not needs_adapter(plan):
        return {}
    inner = plan.project.predict if plan.project.predict is not None else train
    return {folder / "predict.py": _rendered("predict_with.py.j2", {**context, **_adapted(inner, folder)})}


def _not_features(plan: Plan, keys: Sequence[str]) -> tuple[str, ...]:
    event = plan.data.event_time.value
    single = keys if len(keys) == 1 else ()
    return tuple(dict.fromkeys(("row_id", "event_time", event, *single, *plan.data.main.unique)))


def _adapted(script: Script, folder: Path) -> dict[str, object]:
    place = script.path.parent.relative_to(folder)
    return {
        "script": script.path.relative_to(folder).as_posix(),
        "module": script.path.stem,
        "folder": place.as_posix(),
        "model_fn": "model_fn" in script.functions and script.path.stem.isidentifier(),
    }


def _rendered(template: str, context: Mapping[str, object]) -> str:
    from jinja2 import Environment, StrictUndefined

    source = (resources("ctc.init") / "templates" / template).read_text(encoding="utf-8")
    # Nothing is escaped: the output is Python, in which every value stands as its own literal.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["repr"] = repr
    return environment.from_string(source).render(**context)
