"""Find where the order of a set would be seen: it differs between processes.

Types are not looked at. A set is known as one by how it is written: a literal, ``set(…)``, the
operators and methods of sets, and the names, attributes and functions of the file that are
assigned or annotated so (the type checker sees to it that a name has one type).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

MARK = "# any order"
INSTEAD = f"sorted(…), a dict, or a comment `{MARK}` (a set's order differs between processes)"

SETS = ("set", "frozenset")
TYPES = (*SETS, "Set", "FrozenSet", "AbstractSet", "MutableSet")
METHODS = ("union", "intersection", "difference", "symmetric_difference")
MAKERS = ("asyncio.all_tasks",)
VIEWS = ("keys", "items")
SHOW_ORDER = (
    *("list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "reversed", "dict"),
    *("str", "repr", "format", "print"),
)
METHODS_THAT_SHOW_ORDER = ("join", "extend", "fromkeys", "writelines")
HIDE_ORDER = ("sorted", "min", "max")
"""What gives the same whatever the order, unless a ``key`` makes some of it equal."""
HAVE_NONE = ("len", "any", "all", *SETS)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Dotted = Callable[[ast.AST], str | None]


def sets_seen_in_order(tree: ast.Module, lines: list[str], dotted: Dotted) -> Iterator[int]:
    """The lines on which the order of a set is seen.

    :param dotted: the full name an expression stands for, where it was imported.
    """
    order = _Order(dotted)
    order.note(tree)
    order.visit(tree)
    for node in order.found:
        if not any(MARK in line for line in lines[node.lineno - 1 : node.end_lineno]):
            yield node.lineno


class _Order(ast.NodeVisitor):
    """Collects the sets of a file that stand where their order is seen."""

    def __init__(self, dotted: Dotted) -> None:
        self.dotted = dotted
        self.known: set[str] = set()
        self.hidden: set[ast.AST] = set()
        self.found: list[ast.expr] = []

    def note(self, scope: ast.AST) -> None:
        """Learn the names a scope gives to sets, and the functions that return them."""
        for node in _of(scope):
            match node:
                case ast.AnnAssign(target=target, annotation=annotation) if _says_set(annotation):
                    self.call_it(target, scope)
                case ast.arg(arg=name, annotation=annotation) if _says_set(annotation):
                    self.known.add(name)
                case ast.FunctionDef(name=name, returns=returns) if _says_set(returns):
                    self.known.add(f"{name}()")
                case ast.Assign(targets=targets, value=value) if self.is_set(value):
                    for target in targets:
                        self.call_it(target, scope)
                case ast.NamedExpr(target=target, value=value) if self.is_set(value):
                    self.call_it(target, scope)

    def call_it(self, target: ast.expr, scope: ast.AST) -> None:
        match target:
            case ast.Name(id=name):
                self.known |= {name, f".{name}"} if isinstance(scope, ast.ClassDef) else {name}
            case ast.Attribute(attr=name):
                self.known.add(f".{name}")

    def is_set(self, node: ast.AST) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name(id=name):
                return name in self.known
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return f".{name}" in self.known
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                return any(self.is_set(side) or _is_view(side) for side in (left, node.right))
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
            case ast.BoolOp(values=values):
                return any(map(self.is_set, values))
            case ast.NamedExpr(value=value):
                return self.is_set(value)
            case ast.Call(func=ast.Name(id=name)) if name in SETS:
                return True
            case ast.Call(func=ast.Attribute(value=value, attr="copy")):
                return self.is_set(value)
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                return True
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                return f"{name}()" in self.known or self.dotted(node.func) in MAKERS
        return False

    def seen(self, *nodes: ast.expr) -> None:
        self.found += [node for node in nodes if self.is_set(node)]

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            before = set(self.known)
            if isinstance(node, ast.ClassDef):  # every method knows the attributes all of them set
                for function in (each for each in ast.walk(node) if isinstance(each, FUNCTIONS)):
                    self.note(function)
                self.known = before | {name for name in self.known if name.startswith(".")}
            self.note(node)
            self.generic_visit(node)
            self.known = before
        else:
            self.look(node)
            self.generic_visit(node)

    def look(self, node: ast.AST) -> None:
        """Note the sets whose order this node shows, and what within it shows none."""
        match node:
            case ast.For(iter=value) | ast.AsyncFor(iter=value):
                self.seen(value)
            case ast.YieldFrom(value=value) | ast.FormattedValue(value=value):
                self.seen(value)
            case ast.Starred(value=value) if node not in self.hidden:
                self.seen(value)
            case ast.Set(elts=elements):
                self.hidden.update(elements)
            case ast.Assign(targets=[ast.Tuple(elts=[_, _, *_]) | ast.List(elts=[_, _, *_])]):
                self.seen(node.value)
            case ast.ListComp() | ast.GeneratorExp() | ast.DictComp() if node not in self.hidden:
                self.seen(*(each.iter for each in node.generators))
            case ast.Call():
                self.look_at_call(node)

    def look_at_call(self, node: ast.Call) -> None:
        keyed = any(keyword.arg == "key" for keyword in node.keywords)
        match node.func:
            case ast.Attribute(value=value, attr="pop") if not node.args:
                self.seen(value)
            case ast.Attribute(attr=name) if name in METHODS_THAT_SHOW_ORDER:
                self.seen(*node.args)
            case ast.Name(id=name) if name in SHOW_ORDER or (name in HIDE_ORDER and keyed):
                self.seen(*node.args)
            case ast.Name(id=name) if name in (*HIDE_ORDER, *HAVE_NONE):
                self.hidden.update(node.args)
        if self.dotted(node.func) == "math.fsum":  # exact, so the same in any order
            self.hidden.update(node.args)


def _of(scope: ast.AST) -> Iterator[ast.AST]:
    """What stands in a scope itself, and not in the functions and classes within it."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield from _of(node)


def _says_set(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in TYPES
        case ast.Subscript(value=value):
            return _says_set(value)
        case ast.BinOp(left=left, right=right):
            return _says_set(left) or _says_set(right)
    return False


def _is_view(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and (
        isinstance(node.func, ast.Attribute) and node.func.attr in VIEWS
    )
