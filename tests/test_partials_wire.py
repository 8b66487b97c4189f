"""Patches on the wire: read back, applied by others, checked against vectors, and printed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.partials import MISSING, Final, Note, Partial, Patch, PatchError, apply

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "partials.md"
VECTORS = ROOT / "docs" / "partials-vectors.jsonl"
LIMITS = ("0", "-1", "x", "nan", "inf", "")

paths = st.lists(st.text(max_size=4) | st.integers(0, 99), max_size=4).map(tuple)
patches = st.one_of(
    st.builds(Patch, paths, st.just("set"), st.none() | st.booleans() | st.text() | st.just([])),
    st.builds(Patch, paths, st.just("append"), st.text()),
    st.builds(Patch, paths, st.just("done"), st.none()),
)


@given(patches)
def test_a_patch_comes_back_from_the_wire_as_it_was(patch: Patch) -> None:
    line = patch.to_json()
    assert b"\n" not in line
    assert Patch.from_json(line) == Patch.from_json(json.loads(line)) == patch


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not JSON"),
        ("[]", "an object with path, op and value"),
        ({"op": "set", "value": 1}, "path is a list"),
        ({"path": "a", "op": "set", "value": 1}, "path is a list"),
        ({"path": [-1], "op": "set", "value": 1}, "counted from 0"),
        ({"path": [True], "op": "set", "value": 1}, "counted from 0"),
        ({"path": [], "op": "remove"}, "not 'remove'"),
        ({"path": [], "op": ["set"]}, "set, append or done"),
        ({"path": [], "op": "set"}, "has a value"),
        ({"path": [], "op": "append", "value": 1}, "has a string"),
        ({"path": [], "op": "done", "value": 1}, "has no value"),
    ],
)
def test_what_is_no_patch_is_refused_in_one_line(data: Any, why: str) -> None:
    with pytest.raises(PatchError, match=re.escape(why)) as caught:
        Patch.from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "patch"),
    [
        (MISSING, Patch(("a",), "set", 1)),
        (MISSING, Patch((), "append", "x")),
        ({}, Patch(("a",), "append", "x")),
        ({"a": 1}, Patch(("a",), "append", "x")),
        ({"a": "x"}, Patch(("a", 0), "set", 1)),
        ([], Patch((1,), "set", 1)),
        ([], Patch(("a",), "set", 1)),
        ({"a": [1]}, Patch(("a",), "append", "x")),
        ({"a": 1}, Patch(("a",), "set", 2)),
        ([1, 2], Patch((-1,), "set", 3)),
        ([[1]], Patch((-1, 1), "set", 3)),
        ([1, 2], Patch((1,), "set", 3)),
        ([1], Patch((True,), "set", 3)),
        ({"a": 1}, Patch((), "set", {})),
        ([], Patch((), "append", "x")),
        ({"a": "x"}, Patch(("b",), "done", None)),
        ({"a": 1}, Patch(("a",), "done", None)),
        (MISSING, Patch((), "done", None)),
        ({"a": "x"}, Patch(("a",), "append", 1)),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(value: Any, patch: Patch) -> None:
    before = repr(value)
    with pytest.raises(PatchError, match="there is nothing at"):
        apply(value, patch)
    assert repr(value) == before


def test_results_have_a_line_of_their_own() -> None:
    note = Note(3, "a comment")
    assert Final([1], (note,)).to_json() == b'{"final":[1],"notes":[[3,"a comment"]]}'
    partial = orjson.loads(Partial({"a": 1}, "cut off", 7, (note,)).to_json())
    assert partial["partial"] == {"a": 1} and partial["position"] == 7
    assert "partial" not in orjson.loads(Partial(MISSING, "nothing").to_json())
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    assert json.loads(Final(deep).to_json())["final"] == deep


def maker() -> Any:
    spec = importlib.util.spec_from_file_location(
        "partials_vectors", Path(__file__).with_name("partials_vectors.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_parser_keeps_to_the_vectors() -> None:
    kept = VECTORS.read_bytes().splitlines(keepends=True)
    assert len(kept) >= 60
    made = list(maker().lines())
    for line, now in zip(kept, made, strict=True):
        assert orjson.loads(line) == orjson.loads(now)


def test_the_patches_of_the_vectors_make_their_values() -> None:
    for line in VECTORS.read_bytes().splitlines():
        vector = orjson.loads(line)
        value: Any = MISSING
        for step in vector["steps"]:
            for patch in step["patches"]:
                value = apply(value, Patch.from_json(patch))
            assert value == step.get("value", MISSING)
        finish = vector["finish"]
        for patch in finish["patches"]:
            value = apply(value, Patch.from_json(patch))
        assert value == finish.get("final", finish.get("partial", MISSING))
        assert ("final" in finish) != ("reason" in finish)


CHECK = """
import { readFileSync } from "node:fs";
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
let checked = 0;
for (const line of readFileSync(process.argv[2], "utf8").trim().split("\\n")) {
  const { name, steps, finish } = JSON.parse(line);
  let value;
  const last = { ...finish, value: "final" in finish ? finish.final : finish.partial };
  for (const step of [...steps, last]) {
    for (const patch of step.patches) value = apply(value, patch);
    if (!same(value, step.value)) throw new Error(`${name}: ${JSON.stringify(value)}`);
    checked += 1;
  }
}
console.log(checked);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_documented_javascript_client_makes_the_same_values(tmp_path: Path) -> None:
    client = re.search(r"```js\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert client is not None
    assert len(client[1].splitlines()) <= 11
    program = tmp_path / "client.mjs"
    program.write_text(client[1] + CHECK, "utf-8")
    ran = subprocess.run(
        ["node", str(program), str(VECTORS)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 500


def run(*args: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "foretell", "partials", *args],
        input=given, capture_output=True, timeout=50, check=False,
    )  # fmt: skip


def test_the_command_prints_patches_and_the_value() -> None:
    ran = run("--chunk", "3", given='Sure:\n{"a": [1, 2,], "t": "hé"}'.encode())
    *told, last = ran.stdout.splitlines()
    value: Any = MISSING
    for line in told:
        value = apply(value, Patch.from_json(line))
    assert value == {"a": [1, 2], "t": "hé"}
    assert orjson.loads(last) == {
        "final": value,
        "notes": [[18, "a comma before a closing bracket"]],
    }
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_command_says_why_a_value_is_partial(tmp_path: Path) -> None:
    file = tmp_path / "answer.txt"
    file.write_text('[1] {"a": "b', "utf-8")
    ran = run(str(file), "--expect", "object")
    last = orjson.loads(ran.stdout.splitlines()[-1])
    assert last["partial"] == {"a": "b"} and last["reason"] == "cut off in a string"
    assert ran.returncode == 1
    ran = run(str(file), "--strict", "--chunk", "1")
    last = orjson.loads(ran.stdout.splitlines()[-1])
    assert last["partial"] == [1] and last["position"] == 4
    assert ran.returncode == 1


def test_the_command_loses_no_half_of_a_character() -> None:
    for args in ((), ("--chunk", "4")):
        last = orjson.loads(run(*args, "--strict", given=b"[1]\xc3").stdout.splitlines()[-1])
        assert last["partial"] == [1] and last["position"] == 3


def test_the_command_prints_each_patch_when_it_comes() -> None:
    program = [sys.executable, "-m", "foretell", "partials"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(b'{"a": "b')
        child.stdin.flush()
        assert orjson.loads(child.stdout.readline())["value"] == {}
        assert orjson.loads(child.stdout.readline())["value"] == "b"
        child.stdin.write(b'c"}')
        child.stdin.close()
        assert orjson.loads(child.stdout.read().splitlines()[-1])["final"] == {"a": "bc"}
    assert child.returncode == 0


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ('{"a": ["b", 1, 2', {"partial": {"a": ["b", 1]}, "position": None}),
        ("12", {"position": None}),
        ('"12"', {"position": None}),
        ("[1, 2] and", {"final": [1, 2]}),
        ('{"a": f(1), "b": 2, "c": "d', {"partial": {"b": 2, "c": "d"}, "position": 10}),
    ],
)
def test_the_command_takes_what_came_within_the_limit(sent: str, last: dict[str, Any]) -> None:
    program = [sys.executable, "-m", "foretell", "partials", "--limit", "0.4"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(sent.encode())
        child.stdin.flush()
        told = orjson.loads(child.stdout.read().splitlines()[-1])  # stdin is still open
        assert child.wait(20) == ("partial" in last or "final" not in last)
        child.stdin.close()
    assert told.pop("notes") is not None
    if "final" not in last:
        assert told.pop("reason").endswith("not complete within 0.4 seconds")
    assert told == last


def test_the_command_reads_all_that_comes_in_time() -> None:
    ran = run("--limit", "40", given=b"12")
    assert orjson.loads(ran.stdout.splitlines()[-1]) == {"final": 12, "notes": []}
    assert ran.returncode == 0


@pytest.mark.parametrize(
    ("args", "given", "code", "words"),
    [
        (["no-such-file"], b"", 1, "no-such-file"),
        ([os.curdir], b"", 1, os.curdir),
        ([], b"\x7fELF\x00\x01", 1, "is no text: it has a zero byte"),
        (["--chunk", "0"], b"", 2, "argument --chunk"),
        (["--expect", "x"], b"", 2, "argument --expect"),
        *((["--limit", bad], b"", 2, "no limit: choose seconds above 0") for bad in LIMITS),
        (["no-such-file", "--limit", "5"], b"", 1, "no-such-file"),
        (["--limit", "5"], b"\0", 1, "is no text: it has a zero byte"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(
    args: list[str], given: bytes, code: int, words: str
) -> None:
    ran = run(*args, given=given)
    assert ran.returncode == code
    assert words in ran.stderr.decode()
    assert ran.stderr.count(b"\n") == 1


@pytest.mark.parametrize("args", [(), ("--chunk", "2"), ("--limit", "40")])
def test_what_stands_before_a_zero_byte_is_the_result(args: tuple[str, ...]) -> None:  # G6
    ran = run(*args, given=b'{"a": "bc\0d", "e": 1}')
    *told, last = ran.stdout.splitlines()
    value: Any = MISSING
    for line in told:
        value = apply(value, Patch.from_json(line))
    why = "the input is no text: it has a zero byte"
    assert value == {"a": "bc"}
    assert orjson.loads(last) == {"partial": value, "reason": why, "position": None, "notes": []}
    assert (ran.returncode, ran.stderr) == (1, f"foretell: error: {why}\n".encode())
