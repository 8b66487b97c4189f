"""Find what must not stand in the rooms: ambient time and chance, and imports against the stream.

    python .ci/hygiene.py [ROOT]

``streams/``, ``operators/`` and ``sinks/`` take clock, randomness and ids from outside, so that a
replay is exact. ``streams`` knows nothing of the other two; ``operators`` imports nothing of
``sinks`` but what annotations need.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LOOP = "the loop's time (asyncio.get_running_loop().time()), or a clock that is passed in"
SEEDED = "a random.Random(seed) that is passed in"
IDS = "an id that is passed in"

# What is named here is forbidden, and all that is below it.
FORBIDDEN = {
    "time.time": LOOP,
    "time.time_ns": LOOP,
    "time.monotonic": LOOP,
    "time.monotonic_ns": LOOP,
    "time.perf_counter": LOOP,
    "time.perf_counter_ns": LOOP,
    "time.sleep": "asyncio.sleep",
    "datetime.datetime.now": LOOP,
    "datetime.datetime.utcnow": LOOP,
    "datetime.datetime.today": LOOP,
    "datetime.date.today": LOOP,
    "random": SEEDED,
    "secrets": SEEDED,
    "os.urandom": SEEDED,
    "uuid.uuid1": IDS,
    "uuid.uuid4": IDS,
    "asyncio.wait_for": "asyncio.timeout (wait_for orders tasks differently between versions)",
}
SEEDED_GENERATOR = "random.Random"
BUILTINS = {
    "sum": "math.fsum, or a comment `# ints` (sums of floats differ between versions)",
    "hash": "a digest (hash() differs from process to process)",
}
INTS = "# ints"

MAY_NOT_IMPORT = {
    "streams": ("operators", "sinks"),
    "operators": ("sinks",),
    "sinks": (),
}


class Checker(ast.NodeVisitor):
    """The findings in one file, as ``(line, text)``."""

    def __init__(self, package: str, source: str) -> None:
        self.package = package.split(".")
        self.room = self.package[1]
        self.lines = source.splitlines()
        self.names: dict[str, str] = {}
        self.typing_only = False
        self.found: list[tuple[int, str]] = []

    def forbid(self, node: ast.AST, what: str, instead: str) -> None:
        self.found.append((getattr(node, "lineno", 0), f"{what}: use {instead}"))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            head = alias.name.partition(".")[0]
            self.names[alias.asname or head] = alias.name if alias.asname else head
            self.check_room(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            above = self.package[: len(self.package) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        for alias in node.names:
            full = f"{base}.{alias.name}"
            self.names[alias.asname or alias.name] = full
            self.check_room(node, full)
            self.check_name(node, full)

    def check_room(self, node: ast.AST, module: str) -> None:
        head, _, rest = module.partition(".")
        room = rest.partition(".")[0]
        if head != "foretell" or room not in MAY_NOT_IMPORT[self.room]:
            return
        if self.room == "streams" or not self.typing_only:
            self.found.append((getattr(node, "lineno", 0), f"{self.room} may not import {module}"))

    def visit_If(self, node: ast.If) -> None:
        typing_only = self.dotted(node.test) in {"typing.TYPE_CHECKING", "TYPE_CHECKING"}
        before, self.typing_only = self.typing_only, self.typing_only or typing_only
        for child in node.body:
            self.visit(child)
        self.typing_only = before
        for child in (node.test, *node.orelse):
            self.visit(child)

    def dotted(self, node: ast.AST) -> str | None:
        """The full name an expression stands for, where it is a name imported in this file."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute) and (owner := self.dotted(node.value)):
            return f"{owner}.{node.attr}"
        return None

    def check_name(self, node: ast.AST, name: str) -> None:
        if name == SEEDED_GENERATOR:
            return
        for forbidden, instead in FORBIDDEN.items():
            if name == forbidden or name.startswith(f"{forbidden}."):
                self.forbid(node, name, instead)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if name := self.dotted(node):
            self.check_name(node, name)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self.dotted(node.func) == SEEDED_GENERATOR and not node.args:
            self.forbid(node, "random.Random()", "a seed")
        if isinstance(node.func, ast.Name) and node.func.id not in self.names:
            name = node.func.id
            if name in BUILTINS and not (name == "sum" and self.of_ints(node)):
                self.forbid(node, f"{name}()", BUILTINS[name])
        self.generic_visit(node)

    def of_ints(self, node: ast.Call) -> bool:
        lines = self.lines[node.lineno - 1 : node.end_lineno]
        return any(INTS in line for line in lines) or counts(node)


def counts(node: ast.Call) -> bool:
    """Whether a ``sum`` is plainly one of whole numbers: of ``1``, ``len(…)`` or a comparison."""
    of = node.args[0] if node.args else None
    if not isinstance(of, ast.GeneratorExp):
        return False
    match of.elt:
        case ast.Constant(value=int()) | ast.Compare() | ast.Call(func=ast.Name(id="len")):
            return True
    return False


def check(root: Path) -> Iterator[str]:
    for room in MAY_NOT_IMPORT:
        for path in sorted((root / room).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            relative = path.relative_to(root)
            package = ".".join(["foretell", *relative.parent.parts])
            checker = Checker(package, source)
            checker.visit(ast.parse(source, str(path)))
            for line, text in sorted(checker.found):
                yield f"{relative.as_posix()}:{line}: {text}"


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = list(check(root))
    for finding in found:
        print(finding)
    if found:
        print(f"hygiene: {len(found)} findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
