"""A comparison of metrics, such as `recall >= champion.recall - 0.01`: read without ever running text as code.

Numbers, names of metrics, `champion.` before one, `+ - * /`, parentheses, `min`, `max` and `abs`, on both sides of one
`<`, `<=`, `>` or `>=`. Nothing else is a name, and a text has at most 200 characters.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping

from ctc.value import Value, frozen

LONGEST = 200
_DEEPEST = 20

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[float, float], bool]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}

CHAMPION = "champion"


class NotAnExpression(ValueError):
    """The text is no comparison of metrics. The message says what is wrong."""


class NoNumber(ValueError):
    """The comparison has no answer on these values: one is missing, or a result is not finite."""


@frozen
class Compared(Value):
    """Both sides of the comparison, the sign between them, and whether it holds."""

    left: float
    sign: str
    right: float
    holds: bool


def problem(text: str) -> str:
    """What is wrong with a text; empty if nothing is."""
    try:
        _parsed(text)
    except NotAnExpression as error:
        return str(error)
    return ""


def names(text: str) -> tuple[tuple[str, bool], ...]:
    """The metrics that a text names, and whether the champion's. NotAnExpression if it is none."""
    return tuple(dict.fromkeys(_names(_parsed(text))))


def metrics_of(text: str) -> tuple[str, ...]:
    """The metrics that a text names, each once."""
    return tuple(dict.fromkeys(name for name, _ in names(text)))


def names_champion(text: str) -> bool:
    """Whether a champion is needed."""
    return any(champions for _, champions in names(text))


def compare(text: str, contender: Mapping[str, float | None], champion: Mapping[str, float | None]) -> Compared:
    """Whether the comparison holds for these values by metric. NoNumber where it has no answer."""
    tree = _parsed(text)
    sign, compares = _COMPARISONS[type(tree.ops[0])]
    try:
        left, right = (_value(side, contender, champion) for side in (tree.left, tree.comparators[0]))
    except (ZeroDivisionError, OverflowError) as error:
        raise NoNumber(str(error)) from error
    if not (math.isfinite(left) and math.isfinite(right)):
        raise NoNumber("a side of the comparison is not finite")
    return Compared(left, sign, right, compares(left, right))


def _parsed(text: str) -> ast.Compare:
    if len(text) > LONGEST:
        raise NotAnExpression(f"it has {len(text)} characters; at most {LONGEST} are read")
    try:
        with warnings.catch_warnings():
            # Of escapes in a text, which is refused anyhow.
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotAnExpression("it cannot be read") from error
    if not isinstance(tree, ast.Compare):
        raise NotAnExpression("it compares nothing: it needs one of <, <=, >, >=")
    if len(tree.ops) > 1:
        raise NotAnExpression("it compares more than once")
    if type(tree.ops[0]) not in _COMPARISONS:
        raise NotAnExpression("it compares by something else than <, <=, >, >=")
    for side in (tree.left, tree.comparators[0]):
        _require_arithmetic(side, 0)
    if not any(True for _ in _names(tree)):
        raise NotAnExpression("it names no metric, so its answer is always the same")
    return tree


def _require_arithmetic(node: ast.expr, depth: int) -> None:
    if depth > _DEEPEST:
        raise NotAnExpression("its parentheses are too deep")
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            return
        case ast.Name() if node.id != CHAMPION and node.id not in _FUNCTIONS:
            return
        case ast.Attribute(value=ast.Name(id="champion")):
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            inner = [left, right]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            inner = [operand]
        case ast.Call(func=ast.Name(id="min" | "max"), args=args, keywords=[]) if len(args) > 1:
            inner = args
        case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
            inner = [argument]
        case _:
            raise NotAnExpression(f"`{ast.unparse(node)}` is no number, metric, or arithmetic of them")
    for part in inner:
        _require_arithmetic(part, depth + 1)


def _names(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, True
        elif isinstance(node, ast.Name) and node.id != CHAMPION and node.id not in _FUNCTIONS:
            yield node.id, False


def _value(node: ast.expr, contender: Mapping[str, float | None], champion: Mapping[str, float | None]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return _known(contender, name, "the contender")
        case ast.Attribute(attr=name):
            return _known(champion, name, "the champion")
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, contender, champion), _value(right, contender, champion))
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, contender, champion)
            return -value if isinstance(op, ast.USub) else value
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(_value(argument, contender, champion) for argument in args))
    raise AssertionError("read as arithmetic before")


def _known(values: Mapping[str, float | None], name: str, whose: str) -> float:
    value = values.get(name)
    if value is None:
        raise NoNumber(f"{name} of {whose} has no value")
    return value
