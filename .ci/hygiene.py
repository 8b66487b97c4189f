"""Find what must not stand in the rooms: ambient time and chance, and imports against the stream.

    python .ci/hygiene.py [ROOT]

``streams/``, ``operators/`` and ``sinks/`` take clock, randomness and ids from outside, so that a
replay is exact: the same on every Python version and hash seed. So nothing may depend on the order
of a set either, and sums of floats are made by ``math.fsum``. ``streams`` knows nothing of the
other two; ``operators`` imports nothing of ``sinks`` but what annotations need.

A name is followed from its import through plain assignments. A sum of whole numbers is marked
``# ints`` on its line, and what is made of a set in any order ``# any order``; clocks, chance and
ids have no mark, for they can be passed in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from hygiene_order import INSTEAD, sets_seen_in_order

LOOP = "the loop's time (asyncio.get_running_loop().time()), or a clock that is passed in"
SEEDED = "a random.Random(seed) that is passed in"
IDS = "an id that is passed in"
NAMELESS = "a path that is passed in, or TemporaryFile, which has no name"
TIMEOUT = "asyncio.timeout (wait_for orders tasks differently between versions)"
FSUM = "math.fsum, or a comment `# ints` (sums of floats differ between versions)"
DIGEST = "a digest (hash() differs from process to process)"
IMPORT = "an import, which can be checked"

# What is named here is forbidden, and all that is below it.
FORBIDDEN = {
    "time.time": LOOP,
    "time.time_ns": LOOP,
    "time.monotonic": LOOP,
    "time.monotonic_ns": LOOP,
    "time.perf_counter": LOOP,
    "time.perf_counter_ns": LOOP,
    "time.process_time": LOOP,
    "time.process_time_ns": LOOP,
    "time.thread_time": LOOP,
    "time.thread_time_ns": LOOP,
    "time.clock_gettime": LOOP,
    "time.clock_gettime_ns": LOOP,
    "time.localtime": LOOP,
    "time.gmtime": LOOP,
    "time.ctime": LOOP,
    "time.asctime": LOOP,
    "time.strftime": LOOP,
    "time.sleep": "asyncio.sleep",
    "datetime.datetime.now": LOOP,
    "datetime.datetime.utcnow": LOOP,
    "datetime.datetime.today": LOOP,
    "datetime.date.today": LOOP,
    "timeit": LOOP,
    "os.times": LOOP,
    "sched.scheduler": LOOP,
    "signal.alarm": LOOP,
    "signal.setitimer": LOOP,
    "threading.Timer": LOOP,
    "email.utils.formatdate": LOOP,
    "email.utils.localtime": LOOP,
    "random": SEEDED,
    "_random": SEEDED,
    "secrets": SEEDED,
    "os.urandom": SEEDED,
    "os.getrandom": SEEDED,
    "posix.urandom": SEEDED,
    "ssl.RAND_bytes": SEEDED,
    "numpy.random": SEEDED,
    "uuid.uuid1": IDS,
    "uuid.uuid4": IDS,
    "uuid.uuid6": IDS,
    "uuid.uuid7": IDS,
    "uuid.uuid8": IDS,
    "uuid.getnode": IDS,
    "email.utils.make_msgid": IDS,
    "tempfile.mktemp": NAMELESS,
    "tempfile.mkstemp": NAMELESS,
    "tempfile.mkdtemp": NAMELESS,
    "tempfile.NamedTemporaryFile": NAMELESS,
    "tempfile.TemporaryDirectory": NAMELESS,
    "asyncio.wait_for": TIMEOUT,
    "asyncio.tasks.wait_for": TIMEOUT,
    "builtins.sum": FSUM,
    "numpy.sum": FSUM,
    "builtins.hash": DIGEST,
    "importlib.import_module": IMPORT,
    "importlib.__import__": IMPORT,
    "builtins.__import__": IMPORT,
}
SEEDED_GENERATOR = "random.Random"
BUILTINS = ("sum", "hash", "__import__")
INTS = "# ints"
TYPE_TESTS = ("isinstance", "issubclass", "cast")

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
            if alias.name == "*" and any(name.startswith(f"{base}.") for name in FORBIDDEN):
                self.forbid(node, full, "the names that are needed")
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

    def visit_Assign(self, node: ast.Assign) -> None:
        if name := self.dotted(node.value):
            self.names |= {to.id: name for to in node.targets if isinstance(to, ast.Name)}
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in BUILTINS and isinstance(node.ctx, ast.Load):
            known = self.names.get(node.id, f"builtins.{node.id}")
            self.check_name(node, known)

    def visit_Call(self, node: ast.Call) -> None:
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if self.dotted(node.func) == SEEDED_GENERATOR:
            if all(isinstance(each, ast.Constant) and each.value is None for each in given):
                self.forbid(node, "random.Random()", "a seed")
        elif name not in TYPE_TESTS and SEEDED_GENERATOR in map(self.dotted, given):
            self.forbid(node, "random.Random", "a seed")
        if name == "getattr" and len(given) > 1 and isinstance(given[1], ast.Constant):
            self.check_name(node, f"{self.dotted(given[0])}.{given[1].value}")
        exact = name == "sum" and (self.is_marked(node) or counts(node))
        for child in [*([] if exact else [node.func]), *node.args, *node.keywords]:
            self.visit(child)

    def is_marked(self, node: ast.Call) -> bool:
        return any(INTS in line for line in self.lines[node.lineno - 1 : node.end_lineno])


def counts(node: ast.Call) -> bool:
    """Whether a ``sum`` is plainly one of whole numbers: of ``1``, ``len(…)`` or a comparison."""
    match node:
        case ast.Call(args=[ast.GeneratorExp(elt=of) | ast.ListComp(elt=of)], keywords=[]):
            return isinstance(of, ast.Compare) or _is_len(of) or _is_int(of)
        case ast.Call(args=[ast.Call(func=ast.Name(id="map"), args=[ast.Name(id="len"), *_])]):
            return not node.keywords
    return False


def _is_len(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"


def _is_int(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def check(root: Path) -> Iterator[str]:
    for room in MAY_NOT_IMPORT:
        for path in sorted((root / room).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            relative = path.relative_to(root)
            package = ".".join(["foretell", *relative.parent.parts])
            checker = Checker(package, source)
            tree = ast.parse(source, str(path))
            checker.visit(tree)
            checker.found.clear()
            checker.visit(tree)  # once more, with the names that are imported further down
            for line in sets_seen_in_order(tree, checker.lines, checker.dotted):
                checker.found.append((line, f"the order of a set: use {INSTEAD}"))
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
