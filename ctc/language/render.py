"""One spec for one environment, one row of its matrix and one target: patches merged, references filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ctc.diagnostics import Diagnostic, Edit, Label, Severity, Span
from ctc.language.based import inner, resolved
from ctc.language.lock import LOCK, images_of, pinned, read_lock
from ctc.language.shape import schema
from ctc.language.source import Document
from ctc.language.spans import Path, Spans, at
from ctc.value import Value, frozen

DEFAULT = "default"
"""The environment of a spec that has no `environments`."""

CODES: dict[str, str] = {
    "CT220": "an environment that is missing or unknown",
    "CT221": "a patch that hits nothing",
    "CT222": "a variable that is not defined",
    "CT223": "a reference other than ${var.NAME} and ${matrix.COLUMN}",
    "CT224": "a variable that nothing uses",
    "CT225": "a matrix whose rows cannot be read",
    "CT226": "matrix rows that cannot be told apart",
    "CT227": "a column that the matrix does not have",
    "CT228": "a row of the matrix that is missing or unknown",
    "CT302": "a target that the spec does not name",
}

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_LITERAL = ("variables", "environments", "matrix")
"""Sections in which nothing is filled in: what they hold is what is filled in elsewhere, or a patch."""

FIRST_ROW = "*"
"""Stands for the first row of a matrix, whichever that is."""


@frozen
class Rendered(Value):
    """The tree as it holds in one environment. `environments` stays in it, so that its shape is checked too.

    `filled` says of each place which references gave its text: `var.lake`, `matrix.market`. `patched` says where a
    subtree stood before it came to its place: below `environments` or a target's `variables`, or in the lock.
    """

    data: dict[str, Any]
    spans: Spans
    environment: str
    row: str
    filled: dict[Path, tuple[str, ...]]
    patched: dict[Path, Path]
    diagnostics: tuple[Diagnostic, ...]


def rows_of(document: Document) -> tuple[str, ...]:
    """The keys of the rows of a document's matrix; none where it has no matrix, or one that cannot be read."""
    if not isinstance(document.data, dict) or "matrix" not in document.data:
        return ()
    from ctc.language.matrix import read_matrix

    return tuple(row.key for row in read_matrix(document.data["matrix"], document.spans, document.file).rows)


def environments_of(document: Document) -> tuple[str, ...]:
    """The names of a document's environments; none where it has none, or no map of them."""
    named = document.data.get("environments") if isinstance(document.data, dict) else None
    return tuple(named) if isinstance(named, dict) else ()


def render(document: Document, environment: str | None, target: str | None, row: str | None = None) -> Rendered:
    """Patches, then the target's values of variables, then references. The document is left as it is."""
    renderer = _Renderer(document)
    renderer.choose_row(row)
    chosen = renderer.choose(environment)
    if chosen is not None:
        renderer.patch(chosen)
    if target is not None:
        renderer.override(target)
    renderer.fill()
    renderer.pin()
    return Rendered(
        renderer.data,
        renderer.spans,
        chosen or DEFAULT,
        renderer.row,
        renderer.filled,
        renderer.patched,
        tuple(renderer.diagnostics),
    )


@dataclass
class _Renderer:
    document: Document
    data: dict[str, Any] = field(init=False)
    spans: Spans = field(init=False)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    row: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    filled: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    patched: dict[Path, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = _copy(self.document.data)
        self.spans = dict(self.document.spans)

    def choose(self, environment: str | None) -> str | None:
        """The environment whose patch applies; None where there is none to apply."""
        named = self.data.get("environments")
        if named is not None and not isinstance(named, dict):
            return None
        if not named:
            if environment is not None and environment != DEFAULT:
                self.report("CT220", f"there is no environment `{environment}`: the spec has no `environments`", ())
            return None
        listed = ", ".join(named)
        if environment is None:
            self.report(
                "CT220",
                "this spec has environments; say which one",
                ("environments",),
                f"use --env with one of: {listed}",
            )
            return None
        if environment not in named:
            message = f"there is no environment `{environment}`"
            self.report("CT220", message, ("environments",), f"the spec has: {listed}")
            return None
        return environment

    def choose_row(self, key: str | None) -> None:
        """The matrix row whose values are filled in; an empty one where there is no matrix."""
        section = self.data.get("matrix")
        if section is None:
            if key is not None and key != FIRST_ROW:
                self.report("CT228", f"there is no row `{key}`: the spec has no `matrix`", ())
            return
        from ctc.language.matrix import read_matrix

        matrix = read_matrix(section, self.spans, self.document.file)
        self.diagnostics.extend(matrix.diagnostics)
        keys = [row.key for row in matrix.rows]
        if not keys:
            return
        if key is None:
            self.report("CT228", "this spec has a matrix; say which row", ("matrix",), f"use --row: {_some(keys)}")
        elif key != FIRST_ROW and key not in keys:
            self.report("CT228", f"the matrix has no row `{key}`", ("matrix",), f"it has: {_some(keys)}")
        chosen = matrix.rows[keys.index(key) if key in keys else 0]
        self.row, self.columns = chosen.key, chosen.values

    def patch(self, environment: str) -> None:
        patch = self.data["environments"][environment]
        if isinstance(patch, dict):
            self._merge(self.data, (), patch, ("environments", environment), schema())

    def override(self, target: str) -> None:
        """`targets.<target>.variables` replaces values of `variables`."""
        section = self.data.get("targets")
        named = section if isinstance(section, dict) else {}
        if target not in named:
            listed = ", ".join(named) or "none"
            message = f"the spec names no target `{target}`"
            advice = f"it has: {listed}; add `{target}:` with its addresses under `targets`"
            self.report("CT302", message, ("targets",), advice)
            return
        settings = named[target]
        values = settings.get("variables") if isinstance(settings, dict) else None
        variables = self.data.get("variables")
        if isinstance(values, dict) and isinstance(variables, dict | None):
            base = self.data.setdefault("variables", {})
            self._merge(base, ("variables",), values, ("targets", target, "variables"), {})

    def fill(self) -> None:
        variables = self.data.get("variables")
        known = variables if isinstance(variables, dict) else {}
        used: set[str] = set()
        for key in self.data:
            if key not in _LITERAL:
                self.data[key] = self._filled(self.data[key], (key,), known, used)
        misspelt = any(item.code in ("CT222", "CT223") for item in self.diagnostics)
        for name, value in known.items():
            if isinstance(value, str) and _REFERENCE.search(value):
                message = "a variable's value refers to nothing else"
                self.report("CT223", message, ("variables", name), "write the value out")
            elif name not in used and not misspelt:
                message = f"nothing uses the variable `{name}`"
                self.report("CT224", message, ("variables", name), "remove it", Severity.WARNING, key=True)

    def pin(self) -> None:
        """Images that the lock beside the spec knows, by their digests. Text that is no file's has no lock."""
        if self.document.file.startswith("<") or not self.document.locked:
            return
        folder = FilePath(self.document.file).parent
        lock = read_lock(folder)
        if lock.problem:
            place = Span(str(folder / LOCK), 1, 1, 2)
            advice = "take it from the repository; or delete it, and pin again: ctc package --digest"
            message = f"cannot read {folder / LOCK}: {lock.problem}"
            self.diagnostics.append(Diagnostic("CT001", Severity.ERROR, message, "", place, help=advice))
        for path, image in images_of(self.data) if lock.images else ():
            pin = lock.images.get(image)
            if pin is not None:
                section: Any = self.data
                for key in path[:-1]:
                    section = section[key]
                section[path[-1]] = pinned(image, pin.digest)
                self.patched[path] = (LOCK,)

    def report(
        self,
        code: str,
        message: str,
        path: Path,
        help: str = "",
        severity: Severity = Severity.ERROR,
        *,
        key: bool = False,
        label: Label | None = None,
        fix: Edit | None = None,
    ) -> None:
        span = at(self.spans, path, key=key)
        dotted = ".".join(map(str, path))
        self.diagnostics.append(Diagnostic(code, severity, message, dotted, span, label, help, fix))

    def _merge(
        self, base: dict[str, Any], path: Path, patch: Mapping[str, Any], origin: Path, part: Mapping[str, Any]
    ) -> None:
        """`part` of the schema describes `base`: a key that it has by itself may be added, a name of the user's not."""
        part = resolved(part, schema())
        known = part.get("properties", {})
        for key, value in patch.items():
            here, source = (*path, key), (*origin, key)
            if (key not in base and (value is None or key not in known)) or here == ("environments",):
                self._missed([*base, *known], path, key, source)
            elif value is None:
                del base[key]
                self._forget(here)
            elif isinstance(value, dict) and isinstance(base.get(key), dict):
                self._merge(base[key], here, value, source, inner(part, key))
            else:
                base[key] = _copy(value)
                self._move(source, here)

    def _missed(self, names: list[str], path: Path, key: str, source: Path) -> None:
        from difflib import get_close_matches

        from ctc.language.fixes import rename

        where = f"`{'.'.join(map(str, path))}`" if path else "the spec"
        close = get_close_matches(key, [name for name in names if name not in ("environments", key)], 1)
        advice = (
            f"did you mean `{close[0]}`?"
            if close
            else "a patch changes what is there: write the key in the spec itself first"
        )
        span = at(self.spans, path, key=True) if path else None
        label = None if span is None else Label(span, f"has no `{key}`")
        message = f"this patch hits nothing: {where} has no `{key}`"
        place = self.spans.get(source)
        fix = rename(place.key, close[0]) if close and place is not None and place.key is not None else None
        self.report("CT221", message, source, advice, key=True, label=label, fix=fix)

    def _move(self, source: Path, here: Path) -> None:
        """The places of a subtree that now stands somewhere else; the old ones below `here` go."""
        length = len(source)
        moved = {(*here, *path[length:]): place for path, place in self.spans.items() if path[:length] == source}
        self._forget(here)
        self.spans.update(moved)
        self.patched[here] = source

    def _forget(self, here: Path) -> None:
        for path in [path for path in self.spans if path[: len(here)] == here]:
            del self.spans[path]

    def _filled(self, value: Any, path: Path, variables: Mapping[str, Any], used: set[str]) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item, (*path, key), variables, used) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, (*path, index), variables, used) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        scopes = {"var": variables, "matrix": self.columns}
        found = {match[1]: self._reference(match[1], path, scopes) for match in _REFERENCE.finditer(value)}
        references = {word: item for word, item in found.items() if item is not None}
        used.update(name for scope, name in references.values() if scope == "var")
        if references:
            self.filled[path] = tuple(references)
        whole = _REFERENCE.fullmatch(value)
        if whole is not None and whole[1] in references:
            scope, name = references[whole[1]]
            return scopes[scope][name]

        def filled(match: re.Match[str]) -> str:
            if match[1] not in references:
                return match[0]
            scope, name = references[match[1]]
            given = scopes[scope][name]
            return str(given).lower() if isinstance(given, bool) else str(given)

        return _REFERENCE.sub(filled, value)

    def _reference(self, word: str, path: Path, scopes: Mapping[str, Mapping[str, Any]]) -> tuple[str, str] | None:
        """Scope and name of a reference; None after an error, and for what is no reference, such as ${HOME}."""
        scope, dot, name = word.partition(".")
        if scope in scopes and dot:
            if name in scopes[scope]:
                return scope, name
            self._undefined(scope, name, path, scopes[scope])
        elif dot or word in scopes["var"]:
            name = name if dot else word
            self.report("CT223", f"`${{{word}}}` is not a reference", path, f"write ${{var.{name}}}")
        return None

    def _undefined(self, scope: str, name: str, path: Path, known: Mapping[str, Any]) -> None:
        from difflib import get_close_matches

        if (
            scope == "matrix"
            and any(item.code in ("CT225", "CT226", "CT228") for item in self.diagnostics)
            and not known
        ):
            return
        close = get_close_matches(name, list(known), 1)
        suggestion = f"did you mean ${{{scope}.{close[0]}}}?" if close else ""
        if scope == "var":
            advice = suggestion or f"define `{name}` under `variables`"
            self.report("CT222", f"the variable `{name}` is not defined", path, advice)
        else:
            advice = suggestion or (f"it has: {_some(list(known))}" if known else "add a `matrix`")
            self.report("CT227", f"the matrix has no column `{name}`", path, advice)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
