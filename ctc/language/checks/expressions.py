"""What is wrong with a pattern or an SQL condition, as far as its text alone shows it."""

from __future__ import annotations

import re
import warnings

_MOST_REPEATS = 1000
"""The largest count in braces that RE2 takes (`kMaxRepeat` in its re2/parse.cc)."""

_ONLY_BACKTRACKING = (
    (r"\(\?<?[=!]", "look-around"),
    (r"\\[1-9]", "a backreference"),
    (r"\\[gk][<{']|\(\?P=", "a backreference"),
    (r"\(\?>", "an atomic group"),
    (r"\(\?\(", "a conditional group"),
    (r"\(\?#", "a comment"),
    (r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\+", "a possessive quantifier"),
)
"""What Perl and Python read and RE2 does not: https://github.com/google/re2/wiki/Syntax."""

_AS_PYTHON = (
    (r"\\[pP](?:\{\^?\w+\}|[A-Z])", r"\\w"),
    (r"\[:\^?[a-z]+:\]", "a"),
    (r"\\x\{[0-9A-Fa-f]+\}", "x"),
    (r"\\z", r"\\Z"),
    (r"\(\?<(?=[A-Za-z_])", "(?P<"),
    (r"\(\?[imsU]+(?:-[imsU]+)?\)", ""),
    (r"\(\?[imsU]*(?:-[imsU]+)?:", "(?:"),
)
"""What RE2 reads and Python does not, as something that Python reads too."""

ANYTHING = re.compile(r"(?:\(\?s\))?\^?(?:\.\*|\[\\[sS]\\[sS]\]\*|\(\.\*\))\$?")
"""A pattern that every text matches."""


def pattern_problem(regex: str) -> tuple[str, str] | None:
    """What RE2 refuses in a pattern, and what to write; None if nothing is seen."""
    # An escaped backslash or a class hides what looks like an operator.
    bare = re.sub(r"\\\\|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]", "x", regex)
    for feature, name in _ONLY_BACKTRACKING:
        if re.search(feature, re.sub(r"\\[^1-9gk]", "x", bare)):
            return f"it has {name}, which RE2 does not read", "write it without, or check it as `sql`"
    counts = [int(count[-9:]) for count in re.findall(r"\{(?:[0-9]+,)?([0-9]+),?\}", bare)]
    if counts and max(counts) > _MOST_REPEATS:
        return f"RE2 repeats at most {_MOST_REPEATS} times", "write `*` or `+`, and check the length as `sql`"
    plain = re.sub(r"\\Q(.*?)(?:\\E|$)", lambda match: re.escape(match[1]), regex)
    for own, theirs in _AS_PYTHON:
        plain = re.sub(own, theirs, plain)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(plain)
    except re.error as error:
        return str(error.msg), "mend it; a `.` or `(` that is meant as it stands is written `\\.` or `\\(`"
    except (OverflowError, RecursionError):
        return "it is too large", "write it shorter"
    return None


_STARTS = re.compile(
    r"(?i)\s*(insert|update|delete|drop|create|alter|attach|detach|copy|pragma|install|load|set|call|export|import|use"
    r"|with|explain|describe|vacuum)\s+(?!(?:between|in|is|like|ilike|not|and|or|similar|glob|collate)\b)[a-z_\"]"
)
_CLAUSE = re.compile(r"(?i)\b(select|where|union|having|limit|returning|group\s+by|order\s+by)\b")
_AGGREGATE = re.compile(r"(?i)\b(count|sum|avg|mean|median|mode|min|max|stddev\w*|var_\w+|quantile\w*|approx_\w+)\s*\(")
_TO_NULL = re.compile(r"(?i)(=|<>|!=)\s*null\b")
_CONDITION = re.compile(r"(?i)[=<>~]|\b(is|in|like|ilike|between|not|and|or|similar|glob|true|false)\b|\w\s*\(")
_LITERALS = re.compile(r"'(?:[^']|'')*'")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_WORD = re.compile(r"[^\W\d]\w*")


def sql_problem(expression: str) -> tuple[str, str] | None:
    """Why a text is no condition on a row, and what to write; None if nothing is seen."""
    bare = _QUOTED.sub("x", _LITERALS.sub("''", expression))
    if "'" in bare.replace("''", "") or '"' in bare:
        return "a quotation mark is not closed", "write '...' around texts and \"...\" around names of columns"
    if "--" in bare or "/*" in bare:
        return "it has a comment, which could hide the rest", "write the comment in the YAML, after `#`"
    if ";" in bare:
        return "it has a `;`, and one condition is all that is run", "write one condition; several are joined by AND"
    clause = _STARTS.match(bare) or _CLAUSE.search(bare)
    if clause is not None:
        word = " ".join(clause[1].upper().split())
        return f"it has {word}, and is a condition on one row, not a statement", "write such as `paid_at >= ordered_at`"
    if bare.count("(") != bare.count(")"):
        return "a parenthesis is not closed, or never opened", "close it"
    return _no_condition(bare)


def _no_condition(bare: str) -> tuple[str, str] | None:
    aggregate = _AGGREGATE.search(bare)
    if aggregate is not None and not re.search(r"(?i)\bover\s*\(", bare):
        advice = "`row_count`, `null_ratio` and `drift` judge a table; of two columns `least(a, b)` is the smaller"
        return f"`{aggregate[1]}` is of many rows, and this holds or fails for each row", advice
    if _TO_NULL.search(bare):
        return "nothing equals NULL, and nothing differs from it: it fails for every row", "write IS NULL, IS NOT NULL"
    if "&&" in bare:
        return "`&&` is no operator on conditions", "write AND"
    if _CONDITION.search(bare) is None and _WORD.fullmatch(bare.strip()) is None:
        return "it is a value, not a condition that holds or fails", "compare it, such as `amount + tax > 0`"
    return None


def names_in(expression: str) -> set[str]:
    """The words of a condition that may be columns."""
    bare = _LITERALS.sub("''", expression)
    quoted = {name[1:-1].replace('""', '"') for name in _QUOTED.findall(bare)}
    return quoted | set(_WORD.findall(_QUOTED.sub(" ", bare)))
