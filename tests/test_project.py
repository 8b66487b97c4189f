"""The project's frame: what is packaged, what every test is held to, and the command line."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import foretell
from foretell import cli
from foretell.errors import ConfigError, ForetellError
from foretell.streams.importers import FORMATS
from foretell.streams.narrator.profiles import PROFILES

ROOT = Path(__file__).resolve().parent.parent
NOT_PACKAGED = {"benchmarks", "build", "docs", "examples", "tests", "venv"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tool(name: str) -> ModuleType:
    if (folder := str(ROOT / ".ci")) not in sys.path:
        sys.path.append(folder)  # where it finds its own parts
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what is packaged


def test_every_subpackage_is_listed_and_every_listed_one_exists() -> None:
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("[a-z]*/**/*.py")}
    modules = {folder for folder in folders if folder.parts[0] not in NOT_PACKAGED}
    assert [f for f in sorted(modules) if not (ROOT / f / "__init__.py").exists()] == []
    found = {".".join(["foretell", *folder.parts]) for folder in modules}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == {"foretell", *found}


def test_the_version_is_the_same_everywhere() -> None:
    assert foretell.__version__ == PROJECT["project"]["version"]


# --- hygiene


def findings(root: Path, where: str, source: str) -> list[str]:
    path = root / where
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    return list(tool("hygiene").check(root))


def test_the_rooms_are_clean() -> None:  # G8
    assert list(tool("hygiene").check(ROOT)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.monotonic()",
        "import time as t\nclock = t.time",
        "from time import perf_counter",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date as d\nd.today()",
        "import random\nrandom.random()",
        "from random import choice",
        "import random as r\nr.shuffle([])",
        "from random import randint as roll\nroll(1, 6)",
        "import random\nrng = random.Random()",
        "import random\nrng = random.Random(None)",
        "from random import Random\nrng = Random()",
        "from random import Random\ndef f(field):\n    return field(default_factory=Random)",
        "import random\nrng = random.SystemRandom()",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid1",
        "import uuid as u\nu.uuid4().hex",
        "import os\nos.urandom(8)",
        "import os as o\nfrom_outside = o.getrandom",
        "import secrets\nsecrets.token_hex()",
        "from secrets import token_bytes",
        "import uuid\nname = uuid.uuid6()",
        "from uuid import uuid7",
        "import uuid\nnew = uuid.uuid8",
        "import tempfile\ntempfile.mktemp()",
        "from tempfile import mkstemp",
        "import tempfile as t\nwith t.TemporaryDirectory() as folder:\n    pass",
        "from tempfile import NamedTemporaryFile as Named",
        "import numpy as np\nnp.random.default_rng()",
        "from numpy.random import default_rng",
        "import numpy\nnumpy.random.rand(3)",
        "import numpy as np\nnp.sum([0.1])",
        "import ssl\nssl.RAND_bytes(8)",
        "from timeit import default_timer",
        "import os\nos.times()",
        "import threading\nthreading.Timer(1, print)",
        "from email.utils import make_msgid",
        "import secrets as s\ns.randbelow(6)",
        "import asyncio\nasyncio.wait_for(f(), 1)",
        "import asyncio as aio\naio.wait_for(f(), 1)",
        "from asyncio import wait_for",
        "from asyncio.tasks import wait_for as within",
        "import asyncio.tasks\nasyncio.tasks.wait_for(f(), 1)",
        "import time\nt = time\nt.perf_counter_ns()",
        "import time\nclock = getattr(time, 'time')",
        "def f():\n    return t.time()\nimport time as t",
        "from time import *",
        "import time\ntime.process_time()",
        "import time\ntime.strftime('%H')",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime as d\nnow = d.utcnow",
        "clock = __import__('time').time",
        "import importlib\nimportlib.import_module('time')",
        "def f(xs):\n    return sum(xs)",
        "def f(xs):\n    return sum(x.seconds for x in xs)",
        "def f(xs):\n    return sum((1 for _ in xs), 0.5)",
        "def f(xs):\n    return sum([1 for _ in xs], start=0.5)",
        "def f(xs):\n    return sum(0.5 for _ in xs)",
        "def f(xs):\n    return list(map(sum, xs))",
        "import builtins\nbuiltins.sum([0.1])",
        "from builtins import sum as add",
        "add = sum",
        "def f(xs):\n    import time\n    return time.sleep",
        "key = hash('a')",
        "def f(xs):\n    return sorted(xs, key=hash)",
    ],
)
def test_ambient_time_chance_and_sums_of_floats_are_found(tmp_path: Path, source: str) -> None:
    found = findings(tmp_path, "operators/planted.py", source)
    assert len(found) == 1 and found[0].startswith("operators/planted.py:"), found


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef f(seed: int) -> random.Random:\n    return random.Random(seed)",
        "import asyncio\nnow = asyncio.get_running_loop().time()",
        "from datetime import datetime, UTC\nat = datetime.fromtimestamp(0, UTC)",
        "def f(xs):\n    return sum(xs)  # ints",
        "def f(xs):\n    return sum(\n        xs  # ints\n    )",
        "def f(xs):\n    return sum(1 for _ in xs) + sum(len(x) for x in xs)",
        "def f(xs):\n    return sum([x > 1 for x in xs]) + sum(map(len, xs))",
        "import math\nmath.fsum([0.1])",
        "def f(*names):\n    return getattr(*names)",
        "from random import Random\ndef f(rng: Random) -> float:\n    return rng.random()",
        "from random import Random\nrng = Random('seed 7')",
        "from random import Random\ndef f(x):\n    return isinstance(x, Random)",
        "async def f(loop):\n    return loop.time()",
        "import asyncio\nasync def f():\n    async with asyncio.timeout(1):\n        pass",
        "import time\ntime.struct_time",
        "from uuid import UUID, uuid5\nname = uuid5(UUID(int=0), 'a')",
        "from tempfile import TemporaryFile\nfile = TemporaryFile()",
        "import threading\nlock = threading.Lock()",
        "class Key:\n    def __hash__(self) -> int:\n        return 1",
        "class Money:\n    def sum(self):\n        return self.sum()",
    ],
)
def test_what_is_passed_in_or_exact_is_let_through(tmp_path: Path, source: str) -> None:
    assert findings(tmp_path, "operators/planted.py", source) == []


MADE = "    def __init__(self):\n        self.on = set()\n"
SHOWN = "    def f(self):\n        return tuple(self.on)\n"


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}:\n    print(x)",
        "def f(xs: set[str]) -> None:\n    for x in xs:\n        print(x)",
        "def f(xs: frozenset[str] | None) -> str:\n    return ','.join(xs)",
        "def f(a, b):\n    return [x for x in set(a) - set(b)]",
        "def f(a, b):\n    return list(a.keys() & b)",
        "def f(a):\n    return {x: 1 for x in frozenset(a)}",
        "def f(a):\n    return dict.fromkeys(set(a))",
        "def f(a):\n    return sorted(set(a), key=len)",
        "def f(a):\n    return f'{set(a)}'",
        "def f(a):\n    return str({*a})",
        "def f(a):\n    return (*set(a),)",
        "def f(a):\n    first, second = set(a)",
        "def f(a):\n    return next(iter({*a}))",
        "def f(a):\n    return set(a).pop()",
        "def f(a):\n    yield from set(a).union('b')",
        "def names(a) -> set[str]:\n    return {a}\nshown = list(names('b'))",
        f"class A:\n{MADE}{SHOWN}",
        f"class A:\n{SHOWN}{MADE}",
        "class A:\n    on: set[str]\n    def f(self):\n        return enumerate(self.on)",
        "import asyncio\nfor task in asyncio.all_tasks():\n    task.cancel()",
        "def f(a):\n    if b := set(a):\n        return sum(x for x in b)  # ints",
    ],
)
def test_the_order_of_a_set_is_found(tmp_path: Path, source: str) -> None:
    found = findings(tmp_path, "sinks/planted.py", source)
    assert len(found) == 1 and "order of a set" in found[0], found


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1: 2}:\n    print(x)",
        "def f(xs: list[str]) -> str:\n    return ','.join(xs)",
        "def f(a):\n    for x in sorted(set(a)):\n        print(x)",
        "def f(a, b):\n    return len(set(a)) + (b in set(a))",
        "def f(a):\n    return all(x > 1 for x in set(a)) and any(x for x in {*a})",
        "def f(a):\n    return {x + 1 for x in set(a)} | {*set(a)}",
        "def f(a):\n    return max(set(a)), sorted(x.y for x in set(a))",
        "def f(a):\n    [only] = set(a)\n    return only",
        "import math\ndef f(a):\n    return math.fsum(x / 2 for x in set(a))",
        "def f(a):\n    for x in set(a):  # any order\n        x.close()",
        "def f(a):\n    b = set(a)\n    return b\ndef g(b):\n    return list(b)",
        f"class A:\n{MADE}class B:\n{SHOWN}",
        "def f(a):\n    return list(a.keys()), a - 1, [*a]",
    ],
)
def test_what_shows_no_order_is_let_through(tmp_path: Path, source: str) -> None:
    assert findings(tmp_path, "sinks/planted.py", source) == []


TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..sinks.store import Store"


@pytest.mark.parametrize(
    ("where", "source", "bad"),
    [
        ("streams/a.py", "from ..operators import settle", True),
        ("streams/deep/a.py", "from ...sinks.store import Store", True),
        ("streams/a.py", "import foretell.operators.settle", True),
        ("streams/a.py", "from .. import sinks", True),
        ("streams/a.py", TYPING, True),
        ("operators/a.py", "from foretell.sinks import store", True),
        ("operators/a.py", "def f():\n    from ..sinks import store", True),
        ("operators/a.py", TYPING, False),
        ("operators/a.py", "from ..streams.models import Model", False),
        ("sinks/a.py", "from ..streams.events import State", False),
        ("streams/a.py", "from reactivex import operators", False),
    ],
)
def test_rooms_import_one_way(tmp_path: Path, where: str, source: str, bad: bool) -> None:
    found = findings(tmp_path, where, source)
    assert len(found) == bad, found


# --- what every test is held to

PLANTED = """
import asyncio, socket, time, warnings
import pytest
from hypothesis import given, strategies as st

async def test_virtual_time():
    begun = time.monotonic()
    await asyncio.sleep(1e6)
    assert time.monotonic() - begun < 1000

@pytest.mark.real_time
async def test_real_time():
    assert 'Virtual' not in type(asyncio.get_running_loop()).__name__

@given(st.integers())
async def test_property(n):
    await asyncio.sleep(n % 7)

@pytest.fixture
async def resource():
    task = asyncio.create_task(asyncio.sleep(1000))
    yield
    task.cancel()
    await asyncio.wait([task])

async def test_fixture_that_cleans_up(resource):
    pass

async def test_bad_task():
    asyncio.create_task(asyncio.sleep(10))

@given(st.integers())
async def test_bad_task_in_a_property(n):
    asyncio.create_task(asyncio.sleep(10))

async def test_bad_unheard_exception():
    async def fail():
        raise ValueError
    asyncio.create_task(fail())
    await asyncio.sleep(1)

def test_bad_socket():
    cycle = [socket.socket()]
    cycle.append(cycle)

@pytest.mark.real_time
async def test_bad_transport():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()

async def test_bad_never_awaited():
    asyncio.sleep(1)

def test_bad_warning():
    warnings.warn("careful")

async def test_bad_deadlock():
    await asyncio.Event().wait()
"""


def test_a_leak_a_warning_or_a_deadlock_fails_the_test_that_made_it(
    pytester: pytest.Pytester,
) -> None:
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text(encoding="utf-8"))
    (tests / "test_planted.py").write_text(PLANTED)
    (pytester.path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    run = pytester.runpytest_subprocess("-rA", "-p", "no:randomly", "-p", "no:cacheprovider")
    words = [line.split() for line in run.outlines if "::" in line]
    verdicts = {(word, where.partition("::")[2]) for word, where, *_ in words}
    bad = {name for word, name in verdicts if word in {"FAILED", "ERROR"}}
    planted = {name for _, name in verdicts}
    assert len(planted) == 12
    assert bad == {name for name in planted if name.startswith("test_bad")}


# --- setting up


class Commands:
    """Stands for ``subprocess.run``: notes the commands, and makes what a venv would be."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, command: list[Any], **_: Any) -> None:
        self.seen.append("pip" if "pip" in command else "venv")
        if "pip" not in command:
            Path(command[-1]).mkdir()


def test_an_environment_is_made_once_and_again_when_what_it_was_made_from_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venv = tool("venv")
    commands = Commands()
    monkeypatch.setattr(venv, "ROOT", tmp_path)
    monkeypatch.setattr(venv.subprocess, "run", commands)
    (tmp_path / "pyproject.toml").write_text("one")

    def seen(*extras: str, root: Path = tmp_path) -> list[str]:
        monkeypatch.setattr(venv, "ROOT", root)
        venv.set_up(root / ".venv", set(extras))
        now, commands.seen = commands.seen, []
        return now

    assert seen("server") == ["venv", "pip"]
    assert seen("server") == []
    assert seen("server", "dev") == ["pip"]
    assert seen("server") == seen("dev") == []
    (tmp_path / "pyproject.toml").write_text("two")
    assert seen("server") == ["pip"]
    assert seen("dev") == []
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert seen("server", root=moved) == ["venv", "pip"]
    assert "setting up .venv" in capsys.readouterr().err


# --- the command line


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def run(*arguments: str) -> int:
    """The exit code, however the command ended."""
    try:
        return cli.main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


SLOW = "{'anthropic', 'asyncio', 'pydantic', 'reactivex', 'rich', 'orjson'}"


@pytest.mark.parametrize(
    "start",
    [
        "import foretell",
        "import foretell.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_starting_loads_nothing_slow(start: str) -> None:
    done = python("-c", f"{start}\nimport sys\nsys.exit(repr(set(sys.modules) & {SLOW}))")
    assert done.stderr.strip() == "set()"


def test_python_m_is_the_command() -> None:
    done = python("-m", "foretell", "--version")
    assert done.stdout == f"foretell {PROJECT['project']['version']}\n"
    assert done.returncode == 0


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if f"\n    {name}" not in shown] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert f"Example:\n  foretell {name}" in capsys.readouterr().out


def choices(command: str, flag: str) -> set[str]:
    [settings] = [s for flags, s in cli.COMMANDS[command][2] if flag in flags]
    return set(settings["choices"])


def test_choices_are_what_there_is() -> None:
    assert choices("import", "format") == set(FORMATS)
    assert choices("narrator", "--profile") == choices("replay", "--profile") == set(PROFILES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["sing"], "'sing'"),
        (["validate"], "LOG"),
        (["validate", "a", "--seed", "3"], "--seed 3; see foretell validate --help"),
        (["replay", "a", "--base-url", "tom:pw//tom:pw@there"], "'tom:pw//there' must begin with"),
        (["demo", "--base-url", "http://"], "'http://' must begin with"),
        (["import", "gold", "a", "-o", "b"], "'gold'"),
        (["replay", "a", "--seed", "x"], "'x'"),
        (["replay", "a", "--speed", "0"], "'0'"),
        (["replay", "a", "--intensity", "wild"], "'wild'"),
        (["narrator", "--port", "65536"], "'65536'"),
        (["narrator", "--profile", "gpu"], "'gpu'"),
        (["narrator", "--host", "0.0.0.0"], "--key"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("foretell: error: ") and told.err.count("\n") == 1
    assert says in told.err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ForetellError("the log\nis torn"), 1, "foretell: error: the log is torn\n"),
        (ForetellError("a server\x1b[2J\x9b\u2028says"), 1, "error: a server[2J says\n"),
        (ConfigError("no such setting"), 2, "foretell: error: no such setting\n"),
        (FileNotFoundError(2, "No such file", "a.jsonl"), 1, "error: a.jsonl: No such file\n"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (RuntimeError("oh"), 1, "own: RuntimeError: oh; FORETELL_DEBUG=1 shows where\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_a_command_fails(
    error: BaseException,
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.delenv("FORETELL_DEBUG", raising=False)
    monkeypatch.setitem(cli.COMMANDS, "fail", (fail, "foretell fail", ()))
    assert run("fail") == code
    told = capsys.readouterr()
    assert told.err.endswith(says) and told.err.count("\n") == bool(says)


def test_a_closed_pipe_is_no_error() -> None:
    code = (
        "import os, sys\nfrom foretell.cli import main\n"
        "reader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 1)\n"
        "sys.exit(main(['validate', sys.argv[1], '--json']))"
    )
    done = python("-c", code, str(ROOT / "pyproject.toml"))
    assert (done.returncode, done.stderr) == (1, "")


def test_a_standard_output_that_is_closed_is_no_error(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom foretell.cli import main\nsys.stdout = None\nsys.exit(main(sys.argv[1:]))"
    )
    done = python("-c", code, "validate", log(tmp_path / "a.jsonl", *LINES))
    assert (done.returncode, done.stderr) == (0, "")


HEADER = {"format": 1, "id": "s", "started": "2026-01-01T00:00:00Z", "source": "test"}
LINES: list[dict[str, Any]] = [
    {"t": 0, "kind": "session", "clock": "engine", **HEADER},
    {"t": 1, "kind": "outcome", "actor": "mira", "action": {"type": "attack"}, "result": "hit"},
    {"t": 60, "kind": "end"},
]


def log(path: Path, *lines: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_validate_a_good_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path / "a.jsonl", *LINES)
    assert run("validate", path) == 0
    told = capsys.readouterr()
    assert told.out == (
        f"{path}: good: 3 lines, 1.0 minutes\n  1 session, 1 outcome, 1 end\n  results: 1 hit\n"
    )
    assert told.err == ""


def test_validate_a_bad_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path / "a.jsonl", LINES[0], LINES[2], LINES[1])
    assert run("validate", path) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"foretell: error: {path}: line 3: ")
    assert run("validate", path, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and report["errors"][0]["line"] == 3


RUDE = "hit\x1b]0;owned\x07\x9b2J\u202e"


def test_words_of_a_log_command_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [LINES[0] | {"id": RUDE}, LINES[1] | {"result": RUDE, "kind": "outcome"}, LINES[2]]
    path = log(tmp_path / "a.jsonl", *lines, {"t": 60, "kind": RUDE})
    run("validate", path)
    run("validate", log(tmp_path / "b.jsonl", *lines[:2]))
    run("validate", f"{path}{RUDE}")
    run("replay", log(tmp_path / "c.jsonl", *lines), "--profile", "instant")
    told = capsys.readouterr()
    assert "results: 1 hit]0;owned2J" in told.out and "hit]0;owned2J: 1 outcome in" in told.out
    assert "hit]0;owned2J" in told.err
    assert not set("\x1b\x07\x9b\u202e") & set(told.out + told.err)


def test_the_report_of_a_replay_is_still_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = log(tmp_path / "a.jsonl", LINES[0] | {"id": RUDE}, *LINES[1:])
    assert run("replay", path, "--profile", "instant", "--json") == 0
    told = capsys.readouterr().out
    assert json.loads(told)["outcomes"] == 1 and told.endswith("}\n")
    assert not told.endswith("\n\n")


def test_import_of_the_wrong_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "b.jsonl"
    source = log(tmp_path / "a.jsonl", *LINES)
    assert run("import", "nwn", source, "-o", str(target)) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"foretell: error: {source}: ") and told.count("\n") == 1
    assert not target.exists()


def test_import_a_recording(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "b.jsonl"
    source = data / "fireball" / "raw.jsonl"
    assert run("import", "fireball", str(source), "-o", str(target), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["path"] == str(target)
    assert summary["results"]["attack"] == {"hit": 6, "miss": 6}
    assert run("validate", str(target)) == 0


@pytest.mark.real_time
def test_the_narrator_says_its_url_first_and_ends_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "foretell", "narrator", "--profile", "instant"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stderr
        try:
            url = process.stdout.readline()
            assert url.startswith("http://127.0.0.1:")
            assert "not a language model" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
        except BaseException:
            process.kill()
            raise
        assert process.stderr.read() == ""
