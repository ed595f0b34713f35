"""YAML to plain data, with the place of every key and value. Never raises on what a file holds.

The data model is YAML 1.2 core: `NO` and `on` are strings, `1e-3` is a number. A number that a reader of YAML 1.1 would
take for another is refused, with the spelling that both understand. Built on libyaml's events, without recursion, so
that depth, size and alias expansion are bounded before they cost anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from ctc.diagnostics import Diagnostic, Edit, Label, Lines, Severity, Span
from ctc.language.spans import Path, Place, Spans
from ctc.value import Value, frozen

MAX_BYTES = 2_000_000
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Nodes of the tree, those that aliases repeat included."""

CODES: dict[str, str] = {
    "CT001": "a file that cannot be read, or is empty",
    "CT002": "a file that is not UTF-8",
    "CT003": "a tab that indents",
    "CT004": "text that is not YAML",
    "CT005": "a file or a tree beyond the limits of size and depth",
    "CT010": "a number that no computer keeps exactly, or that is none",
    "CT011": "a value that YAML 1.1 and 1.2 read differently",
    "CT012": "a YAML tag",
    "CT014": "a key that is a map or a list, such as an unquoted `{{ x }}`",
    "CT015": "an alias that contains itself, or names no anchor",
    "CT016": "aliases that expand without bound",
    "CT017": "a second document in one file",
    "CT018": "a merge key whose value is not a map",
    "CT020": "a key that stands twice",
    "CT021": "an ignore without its reason",
    "CT022": "an ignore of a code that does not exist",
    "CT023": "an ignore that suppresses nothing",
    "CT024": "an ignore of what cannot be ignored",
}


@frozen
class Document(Value):
    """`data` is None if the file could not be understood; then a diagnostic says why. `text` has no byte order mark.

    `locked` says whether the lock beside the file pins its images: not for who writes that lock.
    """

    file: str
    data: Any
    spans: Spans
    diagnostics: tuple[Diagnostic, ...]
    text: str = ""
    locked: bool = True


def read(path: FilePath | str | Document) -> Document:
    """Reads one spec; a document that is already read stays as it is."""
    if isinstance(path, Document):
        return path
    file = str(path)
    try:
        with FilePath(path).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return _refused(file, "CT001", f"cannot read {file}: {error.strerror or error}")
    except ValueError as error:
        return _refused(file, "CT001", f"cannot read {file!r}: {error}")
    return decode(content, file)


def decode(content: bytes, file: str) -> Document:
    """Parses the bytes of a file, of which no more than one beyond MAX_BYTES are needed."""
    if len(content) > MAX_BYTES:
        return _refused(file, "CT005", f"the file is larger than {MAX_BYTES // 1_000_000} MB; a spec is a few kB")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _refused(file, "CT002", "the file is UTF-16; save it as UTF-8", Span(file, 1, 1, 2))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _refused(file, "CT002", *_undecodable(file, error))
    return parse(text, file)


def parse(text: str, file: str = "<spec>") -> Document:
    """Parses text that is already decoded."""
    import yaml

    builder = _Builder(file, text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        builder.consume(loader(text))
    except _Stop:
        pass
    except yaml.YAMLError as error:
        from ctc.language.syntax import complaint

        builder.diagnostics.append(complaint(error, file, builder.lines))
        builder.data = None
    if builder.data is None and not builder.diagnostics:
        builder.error("CT001", "the file is empty", Span(file, 1, 1, 2), "start with `apiVersion: ctc/v1`")
    return Document(file, builder.data, builder.spans, tuple(builder.diagnostics), text)


def _refused(file: str, code: str, message: str, span: Span | None = None) -> Document:
    return Document(file, None, {}, (Diagnostic(code, Severity.ERROR, message, span=span, file=file),))


def _undecodable(file: str, error: UnicodeDecodeError) -> tuple[str, Span]:
    """The error counts from behind a byte-order mark, as the columns do."""
    rows = Lines(error.object[: error.start].decode("utf-8", errors="replace")).rows
    line, column = len(rows), len(rows[-1]) + 1
    message = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
    return message, Span(file, line, column, column + 1)


class _Stop(Exception):
    """Parsing cannot go on; the diagnostic is already there."""


@dataclass
class _Frame:
    """A map or list that is being filled."""

    container: dict[str, Any] | list[Any]
    path: Path
    anchor: str | None
    start: Span
    key: str | None = None
    key_span: Span | None = None
    merging: bool = False
    merges: list[tuple[Any, Path, Span]] = field(default_factory=list)


class _Builder:
    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = Lines(text)
        self.data: Any = None
        self.spans: Spans = {}
        self.diagnostics: list[Diagnostic] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, Path]] = {}
        self._repeated: dict[Span, int] = {}
        """Which diagnostic says that the key at a place stands twice."""
        self._nodes = 0
        self._documents = 0

    def consume(self, loader: Any) -> None:
        import yaml

        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: lambda event: self._open({}, event),
            yaml.SequenceStartEvent: lambda event: self._open([], event),
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        while (event := loader.get_event()) is not None:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        help: str = "",
        label: Label | None = None,
        fix: Edit | None = None,
    ) -> None:
        self.diagnostics.append(Diagnostic(code, Severity.ERROR, message, span=span, label=label, help=help, fix=fix))

    def span(self, event: Any) -> Span:
        """The first line of an event's text."""
        start, end = event.start_mark, event.end_mark
        stop = end.column if end.line == start.line else len(self.lines[start.line + 1].rstrip())
        return Span(self.file, start.line + 1, start.column + 1, max(stop, start.column + 1) + 1)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self.error("CT017", "a second document starts here; a spec is one file with one document", self.span(event))
            raise _Stop

    def _open(self, container: dict[str, Any] | list[Any], event: Any) -> None:
        span = self.span(event)
        self._expect_value(span, container)
        self._tag(event, span)
        path = self._path()
        if len(path) >= MAX_DEPTH:
            self.data = None
            self.error("CT005", f"nested deeper than {MAX_DEPTH} levels", span)
            raise _Stop
        self._count(span)
        if event.anchor:
            self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame(container, path, event.anchor, span))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        end = event.end_mark
        span = frame.start
        if end.line + 1 == span.line:
            span = Span(span.file, span.line, span.column, max(end.column + 1, span.column + 1))
        if isinstance(frame.container, dict):
            for value, origin, place in frame.merges:
                self._merge(frame, value, origin, place)
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.container, frame.path)
        self._attach(frame.container, span, frame.path)

    def _scalar(self, event: Any) -> None:
        span = self.span(event)
        self._tag(event, span)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.container, dict) and frame.key_span is None:
            self._key(frame, event.value, span)
            # A quoted `<<` is a name like others.
            frame.merging = event.value == "<<" and event.style not in ("'", '"')
            return
        self._count(span)
        value = event.value if event.style in ("'", '"', "|", ">") else self._resolve(event.value, span)
        path = self._path()
        if event.anchor:
            self._anchors[event.anchor] = (value, path)
        self._attach(value, span, path)

    def _key(self, frame: _Frame, name: str, span: Span) -> None:
        frame.key_span = span
        frame.key = name
        first = self.spans.get((*frame.path, name))
        if first is not None and name in frame.container:
            label = Label(first.key, "first here") if first.key is not None else None
            self.error("CT020", f"the key `{_short(name)}` stands twice in this map", span, "keep one of them", label)
            self._repeated[span] = len(self.diagnostics) - 1

    def _alias(self, event: Any) -> None:
        span = self.span(event)
        self._expect_value(span, None)
        if any(frame.anchor == event.anchor for frame in self._stack):
            self.error("CT015", f"the alias `*{event.anchor}` contains itself", span)
            self.data = None
            raise _Stop
        if event.anchor not in self._anchors:
            self.error("CT015", f"there is no anchor `&{event.anchor}` before this alias", span)
            self.data = None
            raise _Stop
        value, origin = self._anchors[event.anchor]
        path = self._path()
        self._attach(self._copy(value, origin, path, span), span, path, merged_from=origin)

    def _copy(self, value: Any, origin: Path, path: Path, span: Span) -> Any:
        """The anchored value once more, at another path; its inner nodes keep their places in the file."""
        self._count(span)
        if len(path) >= MAX_DEPTH:
            self.data = None
            self.error("CT005", f"nested deeper than {MAX_DEPTH} levels", span)
            raise _Stop
        if isinstance(value, dict):
            items: list[tuple[str | int, Any]] = list(value.items())
            copy: Any = {}
        elif isinstance(value, list):
            items, copy = list(enumerate(value)), []
        else:
            return value
        for key, item in items:
            place = self.spans.get((*origin, key))
            if place is not None:
                self.spans[(*path, key)] = place
            inner = self._copy(item, (*origin, key), (*path, key), span)
            if isinstance(copy, dict):
                copy[key] = inner
            else:
                copy.append(inner)
        return copy

    def _merge(self, frame: _Frame, value: Any, origin: Path, span: Span) -> None:
        sources = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, source in sources:
            if not isinstance(source, dict):
                self.error("CT018", "`<<` takes a map, or a list of maps", span)
                return
            base = origin if index is None else (*origin, index)
            for key, item in source.items():
                assert isinstance(frame.container, dict)
                if key in frame.container:
                    continue
                place = self.spans.get((*base, key))
                if place is not None:
                    self.spans[(*frame.path, key)] = place
                frame.container[key] = self._copy(item, (*base, key), (*frame.path, key), span)

    def _path(self) -> Path:
        if not self._stack:
            return ()
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            return (*frame.path, len(frame.container))
        return (*frame.path, frame.key if frame.key is not None else "")

    def _attach(self, value: Any, span: Span, path: Path, merged_from: Path | None = None) -> None:
        if not self._stack:
            self.data = value
            self.spans[()] = Place(None, span, _is_scalar(value))
            return
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
            self.spans[path] = Place(None, span, _is_scalar(value))
            return
        key, key_span = frame.key, frame.key_span
        frame.key = frame.key_span = None
        assert key is not None
        if key == "<<" and frame.merging:
            frame.merges.append((value, merged_from if merged_from is not None else path, span))
        elif key not in frame.container:
            frame.container[key] = value
            self.spans[path] = Place(key_span, span, _is_scalar(value))
        elif key_span in self._repeated and repr(value) == repr(frame.container[key]):
            self._removable(key_span)

    def _removable(self, key: Span) -> None:
        """A repeated key whose value says nothing new can go; of two values somebody must choose one."""
        from ctc.language.fixes import remove

        index = self._repeated[key]
        self.diagnostics[index] = replace(self.diagnostics[index], fix=remove(self.lines, key))

    def _expect_value(self, span: Span, container: Any) -> None:
        """A map, a list or an alias where a key belongs."""
        if not self._stack:
            return
        frame = self._stack[-1]
        if isinstance(frame.container, dict) and frame.key_span is None:
            line = self.lines[span.line]
            template = isinstance(container, dict) and line[max(span.column - 2, 0) :].startswith("{{")
            advice = "a spec has no templates; use ${var.NAME}, and quote text that has braces" if template else ""
            self.error("CT014", "a key is a plain word, not a map, a list or an alias", span, advice)
            self.data = None
            raise _Stop

    def _tag(self, event: Any, span: Span) -> None:
        if event.tag is not None:
            self.error("CT012", f"a spec has no YAML tags such as `{_short(event.tag)}`", span, "remove the tag")

    def _count(self, span: Span) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.data = None
            code = "CT016" if self._anchors else "CT005"
            self.error(code, f"the spec has more than {MAX_NODES} nodes, those that aliases repeat included", span)
            raise _Stop

    def _resolve(self, text: str, span: Span) -> Any:
        from ctc.language.scalars import Trap, resolve

        try:
            return resolve(text)
        except Trap as trap:
            from ctc.language.fixes import instead

            exact = bool(trap.instead) and self.lines.cut(span) == text
            self.error(trap.code, trap.message, span, trap.help, fix=instead(span, trap.instead) if exact else None)
            return text


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _short(text: str) -> str:
    printable = re.sub(r"[^\x20-\x7e\xa0-\uffff]", "?", text)
    return printable if len(printable) <= 40 else printable[:37] + "..."
