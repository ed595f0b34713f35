"""The rows of a matrix: one spec, a deployment for each row."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path as FilePath
from typing import Any

from ctc.diagnostics import Diagnostic, Label, Severity, Span
from ctc.language.spans import Path, Spans, at

MAX_ROWS = 10_000
"""More are a slip of the hand: each row is a deployment of its own, with its own schedule."""

_MAX_BYTES = 2_000_000
_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

Value = str | int | float | bool


@dataclass(frozen=True)
class Row:
    """One deployment: the part that it adds to the name, and the value of each column."""

    key: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Matrix:
    rows: tuple[Row, ...]
    diagnostics: tuple[Diagnostic, ...]


def read_matrix(section: Any, spans: Spans, file: str) -> Matrix:
    """The rows of every combination of the dimensions, in the order of the file. `file` is the spec's own path."""
    reader = _Reader(spans, FilePath(file).parent)
    if not isinstance(section, dict) or not all(isinstance(part, dict) for part in section.values()):
        return Matrix((), ())  # its shape is a finding of its own
    dimensions = [list(reader.dimension(name, part)) for name, part in section.items()]
    rows: list[Row] = []
    for parts in product(*dimensions):
        if len(rows) == MAX_ROWS:
            reader.report("CT225", f"this matrix has more than {MAX_ROWS:,} rows", ("matrix",), "write several specs")
            break
        merged: dict[str, Value] = {}
        for part in parts:
            merged |= part.values
        rows.append(Row("-".join(part.key for part in parts), merged))
    return Matrix(tuple(rows), tuple(reader.diagnostics))


class _Reader:
    def __init__(self, spans: Spans, folder: FilePath) -> None:
        self.spans = spans
        self.folder = folder
        self.diagnostics: list[Diagnostic] = []
        self.columns: dict[str, str] = {}
        """The dimension that each column comes from."""

    def dimension(self, name: str, part: Mapping[str, Any]) -> Iterator[Row]:
        given = list(self._from_file(name, part["from"]) if "from" in part else self._from_list(name, part))
        seen: dict[str, Span | None] = {}
        for values, span, path in given:
            key = str(values[name]).lower()
            if _KEY.fullmatch(key) is None:
                message = f"`{values[name]}` cannot be part of a name"
                advice = "use letters, digits and `-`, and put what people read into a column of its own"
                self.report("CT226", message, path, advice, span=span)
            elif key in seen:
                self.report("CT226", f"two rows of `{name}` are `{key}`", path, span=span, other=seen[key])
            else:
                seen[key] = span
                yield Row(key, values)

    def _from_list(self, name: str, part: Mapping[str, Any]) -> Iterator[tuple[dict[str, Value], Span | None, Path]]:
        rows = part.get("rows")
        for index, row in enumerate(rows if isinstance(rows, list) else []):
            path: Path = ("matrix", name, "rows", index)
            values = row if isinstance(row, dict) else {name: row}
            if name not in values:
                self.report("CT225", f"this row has no `{name}`, which would tell it from the others", path)
            elif all(isinstance(value, str | int | float) for value in values.values()):
                self._claim(name, values, ("matrix", name))
                yield dict(values), at(self.spans, path), path

    def _from_file(self, name: str, given: Any) -> Iterator[tuple[dict[str, Value], Span | None, Path]]:
        path: Path = ("matrix", name, "from")
        text = self._text(given, path) if isinstance(given, str) else None
        if text is None:
            return
        reader = csv.reader(text.splitlines(), strict=True)
        try:
            header = [column.strip() for column in next(reader, [])]
            if name not in header or len(set(header)) < len(header) or not all(header):
                advice = f"its first line names the columns, each once; one of them is `{name}`"
                self.report("CT225", f"`{given}` has no column `{name}`, or no proper header", path, advice)
                return
            self._claim(name, dict.fromkeys(header, ""), path)
            empty = True
            for cells in reader:
                line = Span(str(self.folder / given), reader.line_num, 1, 1)
                if len(cells) == len(header):
                    empty = False
                    yield dict(zip(header, map(str.strip, cells), strict=True)), line, path
                elif cells:
                    message = (
                        f"line {reader.line_num} of `{given}` has {len(cells)} cells; the header has {len(header)}"
                    )
                    self.report("CT225", message, path)
            if empty:
                self.report("CT225", f"`{given}` has no rows", path)
        except csv.Error as error:
            self.report("CT225", f"`{given}` is not CSV: {error} (line {reader.line_num})", path)

    def _text(self, given: str, path: Path) -> str | None:
        file = self.folder / given
        try:
            if file.stat().st_size > _MAX_BYTES:
                self.report("CT225", f"`{given}` is larger than {_MAX_BYTES:,} bytes", path)
                return None
            return file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self.report("CT225", f"`{given}` is not UTF-8", path, "save it as UTF-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            advice = "the path is relative to the spec's folder"
            self.report("CT225", f"`{given}` cannot be read: {reason}", path, advice)
        return None

    def _claim(self, dimension: str, values: Mapping[str, Any], path: Path) -> None:
        for column in values:
            owner = self.columns.setdefault(column, dimension)
            if owner != dimension:
                self.columns[column] = dimension
                self.report("CT225", f"`{owner}` and `{dimension}` both have a column `{column}`", path)

    def report(
        self,
        code: str,
        message: str,
        path: Path,
        help: str = "",
        *,
        span: Span | None = None,
        other: Span | None = None,
    ) -> None:
        label = None if other is None or other == span else Label(other, "the first one")
        place = span if span is not None else at(self.spans, path)
        dotted = ".".join(map(str, path))
        self.diagnostics.append(Diagnostic(code, Severity.ERROR, message, dotted, place, label, help))
