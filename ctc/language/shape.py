"""The shape of a spec: the schema's verdict as diagnostics. One root cause, one diagnostic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from ctc.diagnostics import Diagnostic, Edit, Severity, Span
from ctc.language.based import resolved
from ctc.language.conforms import conforms
from ctc.language.spans import Path, Spans, at
from ctc.language.units import READERS

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

CODES: dict[str, str] = {
    "CT100": "a file that is not a map",
    "CT101": "a key that the language does not have",
    "CT102": "a key that is missing",
    "CT103": "a value of the wrong type",
    "CT104": "a value that is not one of those allowed",
    "CT105": "a number, list or map beyond its limits",
    "CT106": "text in the wrong form, such as a duration without its unit",
    "CT107": "a thing with no kind, or with two",
    "CT108": "a name in the wrong form",
    "CT190": "a key or value of the language that this version does not support yet",
}

_TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def check_shape(data: Any, spans: Spans) -> tuple[Diagnostic, ...]:
    """Every departure from the schema, in no particular order."""
    if not isinstance(data, dict):
        message = f"a spec is a map of keys, not {_kind_of(data)}"
        advice = "start with `apiVersion: ctc/v1`"
        return (Diagnostic("CT100", Severity.ERROR, message, span=at(spans, ()), help=advice),)
    if conforms(data, schema()):
        return ()
    errors = list(_validator().iter_errors(data))
    return tuple(_Translation(errors, data, spans).diagnostics())


def check_other(data: Any, spans: Spans, other: Mapping[str, Any], what: str) -> tuple[Diagnostic, ...]:
    """As `check_shape`, of another kind of file: its schema, which refers to no definitions, and its name."""
    if not isinstance(data, dict):
        message = f"{what} is a map of keys, not {_kind_of(data)}"
        return (Diagnostic("CT100", Severity.ERROR, message, span=at(spans, ())),)
    if conforms(data, other):
        return ()
    from jsonschema import Draft202012Validator

    errors = list(Draft202012Validator(other).iter_errors(data))
    return tuple(_Translation(errors, data, spans, what).diagnostics())


@cache
def schema() -> dict[str, Any]:
    """The schema of the language, as JSON."""
    # Beside the package, as it is installed: importlib.resources would cost more than the reading.
    path = FilePath(__file__).parent.parent / "schemas" / "ct.v1.schema.json"
    loaded: dict[str, Any] = json.loads(path.read_bytes())
    return loaded


@cache
def _validator() -> Any:
    from jsonschema import validators
    from jsonschema.exceptions import ValidationError

    def unit(_validator: Any, name: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
        if isinstance(value, bool) or not isinstance(value, str | (int | float if name == "share" else str)):
            return
        try:
            READERS[name](value)
        except ValueError as error:
            yield ValidationError(str(error))

    # The schema itself is checked by a test: doing it here would cost more than all the rest.
    make: Any = validators.extend  # without types in its stubs
    return make(validators.Draft202012Validator, {"x-unit": unit})(schema())


class _Translation:
    def __init__(self, errors: list[Any], data: Any, spans: Spans, what: str = "a spec") -> None:
        self.errors = errors
        self.data = data
        self.spans = spans
        self.what = what
        self.unknown: dict[Path, set[str]] = {}
        """Keys that somebody meant, rightly spelt, by the map in which they are not."""

    def diagnostics(self) -> Iterator[Diagnostic]:
        rank = {"additionalProperties": 0, "x-unit": 1}
        seen: set[tuple[Path, str]] = set()
        for error in sorted(self.errors, key=lambda item: rank.get(str(item.validator), 2)):
            path = tuple(error.absolute_path)
            for item in self._translate(error, path):
                if (path, item.code) in seen and item.code not in ("CT101", "CT102", "CT190"):
                    continue
                if item.code != "CT106" or (path, "CT106") not in seen:
                    seen.add((path, item.code))
                    yield item

    def _translate(self, error: Any, path: Path) -> Iterator[Diagnostic]:
        match str(error.validator):
            case "additionalProperties":
                yield from self._unknown_keys(error, path)
            case "required":
                yield from self._missing_key(error, path)
            case "type":
                yield self._wrong_type(error, path)
            case "enum" | "const":
                yield self._wrong_value(error, path)
            case "anyOf":
                yield from self._no_kind(error, path)
            case "minProperties" if not error.instance:
                yield from self._no_kind(error, path)
            case "not" | "maxProperties" if path not in self.unknown:
                yield self._two_kinds(path, list(error.instance))
            case "not" | "maxProperties":
                pass
            case "None":
                yield self._two_kinds(path, self._excluding(error, path))
            case "x-unit":
                yield self._at("CT106", f"`{_name(path)}`: {error.message}", path)
            case "pattern":
                yield self._malformed(error, path)
            case _:
                yield self._beyond_limits(error, path)

    def _unknown_keys(self, error: Any, path: Path) -> Iterator[Diagnostic]:
        from difflib import get_close_matches

        known = list(error.schema["properties"])
        later = error.schema.get("x-not-yet", [])
        meant = self.unknown.setdefault(path, set())
        for key in error.instance:
            if key in known:
                continue
            where = f"`{_name(path)}`" if path else self.what
            if key in later:
                meant.add("*")
                message = f"`{_short(key)}` is not supported yet in this version"
                yield self._at("CT190", message, (*path, key), "remove it; nothing is ignored in silence", key=True)
                continue
            close = get_close_matches(key, known, 1, 0.6)
            # Where there is only one key, it was meant.
            meant.update(close or (known if len(known) == 1 else ()))
            advice = f"did you mean `{close[0]}`?" if close else f"{where} has: {_listed(known)}"
            if not path and key == "on":
                advice = "write `triggers`: YAML 1.1 reads `on` as true"
                meant.add("triggers")
            place = (*path, key)
            message = f"{where} has no key `{_short(key)}`"
            yield self._at("CT101", message, place, advice, key=True, fix=self._renamed(place, close, key=True))

    def _missing_key(self, error: Any, path: Path) -> Iterator[Diagnostic]:
        # The validator gives one error for each; its message is all that says for which.
        key = next(name for name in error.validator_value if name not in error.instance and repr(name) in error.message)
        if key in self.unknown.get(path, ()):
            return
        where = f"`{_name(path)}`" if path else self.what.replace("a ", "the ", 1)
        described = _resolve(error.schema["properties"].get(key, {})).get("description", "")
        advice = f"add `{key}:`" + (f" ({_first_sentence(described)})" if described else "")
        yield self._at("CT102", f"{where} has no `{key}`", path, advice, key=True)

    def _wrong_type(self, error: Any, path: Path) -> Diagnostic:
        unit = error.schema.get("x-unit")
        wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        names = " or ".join(_TYPES[name] for name in wanted)
        advice = str(error.schema.get("patternErrorMessage", "")) if unit else ""
        what = f"a {unit}" if unit and unit != "instant" else "an instant" if unit else names
        if error.instance is None:
            return self._at("CT103", f"`{_name(path)}` has no value; it takes {what}", path, advice, key=True)
        return self._at("CT103", f"`{_name(path)}` takes {what}, not {_kind_of(error.instance)}", path, advice)

    def _wrong_value(self, error: Any, path: Path) -> Diagnostic:
        from difflib import get_close_matches

        allowed = [error.validator_value] if error.validator == "const" else list(error.validator_value)
        value = error.instance
        if value in error.schema.get("x-not-yet", []):
            message = f"`{_name(path)}: {value}` is not supported yet in this version"
            return self._at("CT190", message, path, f"this version has: {_listed(allowed)}")
        close = get_close_matches(value, allowed, 1, 0.6) if isinstance(value, str) else []
        advice = f"did you mean `{close[0]}`?" if close else ""
        message = f"`{_name(path)}` is one of: {_listed(allowed)}"
        return self._at("CT104", message, path, advice, fix=self._renamed(path, close))

    def _no_kind(self, error: Any, path: Path) -> Iterator[Diagnostic]:
        if self.unknown.get(path):
            return
        if error.validator == "anyOf":
            kinds = [branch["required"][0] for branch in error.validator_value]
        else:
            kinds = list(error.schema.get("properties", {}))
        if not kinds:
            yield self._at("CT105", f"`{_name(path)}` is empty; it needs at least one entry", path, key=True)
            return
        amount = "at least" if self._may_combine(error) else "exactly"
        yield self._at("CT107", f"`{_name(path)}` needs {amount} one of: {_listed(kinds)}", path, key=True)

    def _may_combine(self, error: Any) -> bool:
        return "not" not in error.schema and "dependentSchemas" not in error.schema

    def _two_kinds(self, path: Path, keys: list[str]) -> Diagnostic:
        first, second = keys[:2]
        message = f"`{_name(path)}` has both `{first}` and `{second}`; it takes one of them"
        item = self._at("CT107", message, (*path, second), "remove one of them", key=True)
        span = at(self.spans, (*path, first), key=True)
        return item if span is None else _with_label(item, span, "the other one")

    def _excluding(self, error: Any, path: Path) -> list[str]:
        """The keys that are there and exclude each other: those that `dependentSchemas` names."""
        steps = list(error.absolute_schema_path)
        part: Any = schema()
        last = len(steps) - steps[::-1].index("dependentSchemas")
        for step in steps[:last]:
            # The validator's path does not tell that it has followed a reference.
            part = (resolved(part, schema()) if isinstance(part, dict) else part)[step]
        node = self.data
        for step in path:
            node = node[step]
        return [key for key in node if key in part]

    def _malformed(self, error: Any, path: Path) -> Diagnostic:
        from difflib import get_close_matches

        explained = str(error.schema.get("patternErrorMessage", "this text does not have the form that is needed here"))
        if error.instance in error.schema.get("x-not-yet", []):
            return self._at("CT190", f"`{_name(path)}: {error.instance}` is not supported yet in this version", path)
        if "propertyNames" in error.absolute_schema_path:
            name = str(error.instance)
            return self._at("CT108", f"`{_short(name)}` is not a name", (*path, name), explained, key=True)
        # A value that may also be a map: the schema cannot list the words, so it gives them as examples.
        words = [word for word in error.schema.get("examples", []) if isinstance(word, str)]
        if "properties" in error.schema and words:
            close = get_close_matches(error.instance, words, 1, 0.6)
            advice = f"did you mean `{close[0]}`?" if close else explained
            message = f"`{_name(path)}` is none of: {_listed(words)}"
            return self._at("CT104", message, path, advice, fix=self._renamed(path, close))
        return self._at("CT106", f"`{_name(path)}` does not have the right form", path, explained)

    def _beyond_limits(self, error: Any, path: Path) -> Diagnostic:
        limit = error.validator_value
        said = {
            "minimum": f"must be at least {limit}",
            "maximum": f"must be at most {limit}",
            "exclusiveMinimum": f"must be more than {limit}",
            "minLength": "is empty",
            "maxLength": f"is longer than {limit} characters",
            "minItems": "is empty; it needs at least one entry",
            "minProperties": "is empty; it needs at least one entry",
            "uniqueItems": "holds the same value twice",
        }.get(str(error.validator), "is beyond its limits")
        return self._at("CT105", f"`{_name(path)}` {said}", path)

    def _renamed(self, path: Path, close: list[str], *, key: bool = False) -> Edit | None:
        """The fix that goes with "did you mean"."""
        from ctc.language.fixes import rename

        place = self.spans.get(path)
        span: Span | None = None if place is None else place.key if key else place.value
        return rename(span, close[0]) if close and span is not None else None

    def _at(
        self, code: str, message: str, path: Path, help: str = "", *, key: bool = False, fix: Edit | None = None
    ) -> Diagnostic:
        span = at(self.spans, path, key=key)
        return Diagnostic(code, Severity.ERROR, message, ".".join(map(str, path)), span, help=help, fix=fix)


def _with_label(item: Diagnostic, span: Any, text: str) -> Diagnostic:
    from dataclasses import replace

    from ctc.diagnostics import Label

    return replace(item, label=Label(span, text))


def _resolve(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return part if "description" in part else resolved(part, schema())


def _kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a map" if isinstance(value, dict) else "a list" if isinstance(value, list) else "text"


def _name(path: Path) -> str:
    return _short(".".join(map(str, path)))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
