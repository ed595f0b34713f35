"""One spec for one environment and one target: patches merged, variables filled in, places kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ctc.diagnostics import Diagnostic, Label, Severity
from ctc.language.shape import schema
from ctc.language.source import Document
from ctc.language.spans import Path, Spans, at

DEFAULT = "default"
"""The environment of a spec that has no `environments`."""

CODES: dict[str, str] = {
    "CT220": "an environment that is missing or unknown",
    "CT221": "a patch that hits nothing",
    "CT222": "a variable that is not defined",
    "CT223": "a reference other than ${var.NAME}",
    "CT224": "a variable that nothing uses",
    "CT302": "a target that the spec does not name",
}

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_LITERAL = ("variables", "environments")
"""Sections in which nothing is filled in: what they hold is what is filled in elsewhere, or a patch."""


@dataclass(frozen=True)
class Rendered:
    """The tree as it holds in one environment. `environments` stays in it, so that its shape is checked too."""

    data: dict[str, Any]
    spans: Spans
    environment: str
    diagnostics: tuple[Diagnostic, ...]


def render(document: Document, environment: str | None, target: str | None) -> Rendered:
    """Patches, then the target's values of variables, then references. The document is left as it is."""
    renderer = _Renderer(document)
    chosen = renderer.choose(environment)
    if chosen is not None:
        renderer.patch(chosen)
    if target is not None:
        renderer.override(target)
    renderer.fill()
    return Rendered(renderer.data, renderer.spans, chosen or DEFAULT, tuple(renderer.diagnostics))


@dataclass
class _Renderer:
    document: Document
    data: dict[str, Any] = field(init=False)
    spans: Spans = field(init=False)
    diagnostics: list[Diagnostic] = field(default_factory=list)

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
    ) -> None:
        span = at(self.spans, path, key=key)
        dotted = ".".join(map(str, path))
        self.diagnostics.append(Diagnostic(code, severity, message, dotted, span, label, help))

    def _merge(
        self, base: dict[str, Any], path: Path, patch: Mapping[str, Any], origin: Path, part: Mapping[str, Any]
    ) -> None:
        """`part` of the schema describes `base`: a key that it has by itself may be added, a name of the user's not."""
        known = part.get("properties", {})
        for key, value in patch.items():
            here, source = (*path, key), (*origin, key)
            if (key not in base and (value is None or key not in known)) or here == ("environments",):
                self._missed([*base, *known], path, key, source)
            elif value is None:
                del base[key]
                self._forget(here)
            elif isinstance(value, dict) and isinstance(base.get(key), dict):
                inner = known.get(key) or part.get("additionalProperties")
                self._merge(base[key], here, value, source, inner if isinstance(inner, dict) else {})
            else:
                base[key] = _copy(value)
                self._move(source, here)

    def _missed(self, names: list[str], path: Path, key: str, source: Path) -> None:
        from difflib import get_close_matches

        where = f"`{'.'.join(map(str, path))}`" if path else "the spec"
        close = get_close_matches(key, [name for name in names if name not in ("environments", key)], 1)
        advice = (
            f"did you mean `{close[0]}`?"
            if close
            else "a patch changes what is there: write the key in the spec itself first"
        )
        span = at(self.spans, path, key=True) if path else None
        label = None if span is None else Label(span, f"has no `{key}`")
        self.report("CT221", f"this patch hits nothing: {where} has no `{key}`", source, advice, key=True, label=label)

    def _move(self, source: Path, here: Path) -> None:
        """The places of a subtree that now stands somewhere else; the old ones below `here` go."""
        length = len(source)
        moved = {(*here, *path[length:]): place for path, place in self.spans.items() if path[:length] == source}
        self._forget(here)
        self.spans.update(moved)

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
        names = {match[1]: self._variable(match[1], path, variables) for match in _REFERENCE.finditer(value)}
        used.update(name for name in names.values() if name is not None)
        whole = _REFERENCE.fullmatch(value)
        if whole is not None and names[whole[1]] is not None:
            return variables[names[whole[1]] or ""]
        return _REFERENCE.sub(lambda match: self._text(match, names[match[1]], variables), value)

    def _text(self, match: re.Match[str], name: str | None, variables: Mapping[str, Any]) -> str:
        if name is None:
            return match[0]
        value = variables[name]
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _variable(self, inner: str, path: Path, variables: Mapping[str, Any]) -> str | None:
        """The variable that a reference names; None after an error, and for what is no reference, such as ${HOME}."""
        scope, dot, name = inner.partition(".")
        if scope == "var" and dot:
            if name in variables:
                return name
            advice = _suggestion(name, variables)
            self.report("CT222", f"the variable `{name}` is not defined", path, advice)
        elif scope == "matrix" and dot:
            self.report("CT190", "`${matrix.NAME}` is not supported yet in this version", path, "write a spec for each")
        elif dot or inner in variables:
            name = name if dot else inner
            self.report("CT223", f"`${{{inner}}}` is not a reference", path, f"write ${{var.{name}}}")
        return None


def _suggestion(name: str, variables: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(variables), 1)
    if close:
        return f"did you mean ${{var.{close[0]}}}?"
    return f"define `{name}` under `variables`"


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
