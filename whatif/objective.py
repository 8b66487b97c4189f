"""What a search makes small: an expression of figures, such as ``latency + 50 * usd``."""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..errors import ConfigError

__all__ = ["NAMES", "Objective"]

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "latency": "mean seconds to first text",
        "p50": "their median",
        "p95": "their 95th percentile",
        "usd": "dollars per outcome",
        "tokens": "tokens per outcome",
        "wasted": "wasted tokens per outcome",
        "hit_rate": "share of outcomes prepared or under way",
    }
)
"""The figures an expression may name. All are per outcome, so that nights of any length compare."""

LONGEST = 500
BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}

Figures = Mapping[str, float]
Term = Callable[[Figures], float]


class Objective:
    """An expression of ``NAMES``, numbers, ``+ - * / **`` and parentheses; call it with figures.

    A value that cannot be worked out, such as a division by zero, is infinite: never the best.

    :raises ConfigError: for anything else; the message names what it was.
    """

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self.names: set[str] = set()
        if len(self.text) > LONGEST:
            raise ConfigError(f"--minimize: longer than {LONGEST} characters")
        try:
            with warnings.catch_warnings(action="ignore"):  # of odd, but possible, numbers
                self._value = self._term(ast.parse(self.text, mode="eval").body)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise ConfigError(
                f"--minimize: {self.text!r} is no expression; try 'latency + 50 * usd'"
            ) from None
        if not self.names:
            raise ConfigError(
                f"--minimize: {self.text!r} is the same for all; name one of {', '.join(NAMES)}"
            )

    def __call__(self, figures: Figures) -> float:
        """Its value; lower is better."""
        try:
            value = self._value(figures)
        except (ArithmeticError, ValueError):
            return math.inf
        return value if math.isfinite(value) else math.inf

    def _term(self, node: ast.expr) -> Term:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                constant = self._number(number)
                return lambda _: constant
            case ast.Name(id=name) if name in NAMES:
                self.names.add(name)
                return lambda figures: figures[name]
            case ast.Name(id=name):
                known = ", ".join(NAMES)
                raise ConfigError(f"--minimize: no figure is called {name!r}; there are {known}")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                first, second, work = self._term(left), self._term(right), BINARY[type(op)]
                return lambda figures: work(first(figures), second(figures))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                only, turn = self._term(operand), UNARY[type(op)]
                return lambda figures: turn(only(figures))
        said = (ast.get_source_segment(self.text, node) or self.text)[:60]
        raise ConfigError(
            f"--minimize: {said!r} is not allowed: figures, numbers, + - * / ** and parentheses"
        )

    def _number(self, number: float) -> float:
        try:
            constant = float(number)
        except OverflowError:
            constant = math.inf
        if not math.isfinite(constant):
            raise ConfigError("--minimize: a number in it is too large")
        return constant
