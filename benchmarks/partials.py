"""Reading JSON while it streams: the cost of a chunk, beside what others do with it.

    python benchmarks/partials.py [--quick] [--plot FILE.png|svg] [--data ../shared/data]

Prints microseconds of processor time a chunk, the best of alternating rounds in one process (what
else the machine does only ever adds to them), and the ratio to re-parsing the whole text at every
chunk with jiter, which is what SDKs do. Both cores of Foretell take part, if the compiled one is
built (``FORETELL_COMPILE=1 pip install .``). Those that parse anew at each chunk are sampled at 60
places over the document, for the whole would take hours. Needs jiter, ijson, partial-json-parser
and json-repair beside Foretell; what is absent is left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from foretell.operators import partial_parser
from foretell.operators.partials import Final, PartialParser
from foretell.operators.typed import TypedPartials

SIZES = (2_000, 15_000, 127_000, 2_000_000)
CHUNKS = (1, 4, 64)
SAMPLES = 60
CORES = {f"foretell in {kind.core}": kind for kind in (PartialParser, partial_parser.PartialParser)}
WORDS = (
    *("the", "blade", "comes", "round", "low", "and", "bites", "as", "goblin", "gives", "ground"),
    *("through", "rain", "torchlight", "while", "somebody", "laughs", "behind", "millstones"),
)


def prose(rng: random.Random, size: int) -> str:
    """About ``size`` characters of sentences, a third of them spoken, in paragraphs."""
    out = ""
    while len(out) < size:
        sentence = " ".join(rng.choices(WORDS, k=rng.randint(6, 18))).capitalize() + "."
        out += f'"{sentence}"' if rng.random() < 1 / 3 else sentence
        out += "\n\n" if rng.random() < 1 / 5 else " "
    return out


def narration(rng: random.Random, size: int) -> Any:
    """One long text, and lines and cues of a tenth of it."""
    return {
        "text": prose(rng, size * 9 // 10),
        "lines": [{"speaker": "Mira", "text": prose(rng, 60)} for _ in range(size // 1200)],
        "cues": ["steel on stone", "a door, far off"],
    }


def plans(rng: random.Random, size: int) -> Any:
    """Plans of several agents: short steps with names, numbers and a reason."""
    found: list[Any] = []
    while len(orjson.dumps(found)) < size:
        steps = [
            {
                "tool": rng.choice(("MoveTo", "Attack", "TakeCover", "Scan")),
                "x": round(rng.uniform(-50, 50), 2),
                "y": rng.randint(-50, 50),
                "target": f"goblin-{rng.randint(1, 9)}",
                "why": prose(rng, 40),
            }
            for _ in range(rng.randint(3, 8))
        ]
        found.append({"agent": f"agent-{len(found)}", "ready": True, "steps": steps})
    return {"plans": found}


def escapes(rng: random.Random, size: int) -> Any:
    """Text in which every few characters are written with a backslash."""
    text = "".join(
        rng.choice(('"', "\n", "é", "\\", "blade ", "\t", "😀")) for _ in range(size // 4)
    )
    return {"text": text}


def numbers(rng: random.Random, size: int) -> Any:
    """Positions."""
    return {
        "pos": [[round(rng.uniform(-99, 99), 3), rng.randint(0, 99)] for _ in range(size // 14)]
    }


def nested(rng: random.Random, size: int) -> Any:
    """Objects in objects, forty deep, side by side."""

    def deep(levels: int) -> Any:
        return {"a": deep(levels - 1), "n": levels} if levels else "here"

    return [deep(40) for _ in range(size // 560 + 1)]


DOCUMENTS: dict[str, Callable[[random.Random, int], Any]] = {
    "narration": narration,
    "plans": plans,
    "escapes": escapes,
    "numbers": numbers,
    "nested": nested,
}


class Line(BaseModel):
    speaker: str
    text: str


class Narration(BaseModel):
    text: str
    lines: list[Line]
    cues: list[str]


class Step(BaseModel):
    tool: str
    x: float
    y: int
    target: str
    why: str


class Plan(BaseModel):
    agent: str
    ready: bool
    steps: list[Step]


class Plans(BaseModel):
    plans: list[Plan]


MODELS: dict[str, type[BaseModel]] = {"narration": Narration, "plans": Plans}


def written(name: str, size: int) -> str:
    """The document, as a model that keeps to ASCII in escapes writes it."""
    value = DOCUMENTS[name](random.Random(size), size)
    if name != "escapes":
        return orjson.dumps(value).decode()
    import json

    return json.dumps(value)


def cut(text: str, length: int) -> list[str]:
    """``text`` in pieces of ``length`` characters."""
    return [text[at : at + length] for at in range(0, len(text), length)]


# Readers: each takes the chunks and gives seconds a chunk.


def foretell(kind: type[PartialParser]) -> Callable[[Sequence[str]], float]:
    """One pass; patches after every chunk."""

    def reader(chunks: Sequence[str]) -> float:
        parser = kind(max_length=sys.maxsize)
        started = time.process_time()
        for chunk in chunks:
            parser.feed(chunk)
        taken = time.process_time() - started
        assert isinstance(parser.finish(), Final)
        return taken / len(chunks)

    return reader


def typed(kind: type[PartialParser], model: type[BaseModel]) -> Callable[[Sequence[str]], float]:
    """A partial of the model after every chunk, and the model at the end."""

    def reader(chunks: Sequence[str]) -> float:
        partials = TypedPartials(model, parser=kind(max_length=sys.maxsize))
        started = time.process_time()
        for chunk in chunks:
            last = partials.feed(chunk)
        taken = time.process_time() - started
        assert isinstance(last[-1], model)
        return taken / len(chunks)

    return reader


def once(chunks: Sequence[str]) -> float:
    """The floor: one call of orjson at the end."""
    started = time.process_time()
    orjson.loads("".join(chunks))
    return (time.process_time() - started) / len(chunks)


def ijson(chunks: Sequence[str]) -> float:
    """ijson's C events, pushed; they show nothing inside a growing string."""
    backend = importlib.import_module("ijson.backends.yajl2_c")
    utils = importlib.import_module("ijson.utils")
    pieces = [chunk.encode() for chunk in chunks]
    events = backend.basic_parse_coro(utils.sendable_list())
    started = time.process_time()
    for piece in pieces:
        events.send(piece)
    return (time.process_time() - started) / len(chunks)


def again(parse: Callable[[str], Any]) -> Callable[[Sequence[str]], float]:
    """A reader that parses all there is anew at each chunk, sampled over the document."""

    def reader(chunks: Sequence[str]) -> float:
        text = "".join(chunks)
        ends: list[int] = []
        at = 0
        for chunk in chunks:
            at += len(chunk)
            ends.append(at)
        parts = [text[:end] for end in ends[:: max(1, len(ends) // SAMPLES)]]
        started = time.process_time()
        for part in parts:
            parse(part)
        return (time.process_time() - started) / len(parts)

    return reader


def readers() -> Iterator[tuple[str, Callable[[Sequence[str]], float], int]]:
    """Name, reader, and the largest document (characters) it is tried on."""
    for name, kind in CORES.items():
        yield name, foretell(kind), 10**9
    yield "orjson once", once, 10**9
    for name, module, largest in (
        ("ijson C events", "ijson", 200_000),
        ("jiter again", "jiter", 10**9),
        ("SDK's accumulation", "jiter", 10**9),
        ("partial-json-parser", "partial_json_parser", 20_000),
        ("json-repair", "json_repair", 3_000),
    ):
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        if name == "ijson C events":
            yield name, ijson, largest
        elif name == "jiter again":
            yield (
                name,
                again(
                    lambda text, jiter=found: jiter.from_json(
                        text.encode(), partial_mode="trailing-strings"
                    )
                ),
                largest,
            )
        elif name == "SDK's accumulation":
            yield (
                name,
                again(lambda text, jiter=found: jiter.from_json(text.encode(), partial_mode=True)),
                largest,
            )
        elif name == "json-repair":
            yield name, again(found.loads), largest
        else:
            yield name, again(found.loads), largest


def measured(chunks: Sequence[str], size: int, rounds: int) -> dict[str, float]:
    """Microseconds a chunk by reader: the best of rounds in which all take turns."""
    known = [(name, reader) for name, reader, largest in readers() if size <= largest]
    spent: dict[str, list[float]] = {name: [] for name, _ in known}
    for _ in range(rounds):
        for name, reader in known:
            gc.collect()
            spent[name].append(reader(chunks))
    return {name: 1e6 * min(times) for name, times in spent.items()}


def typed_rows(sizes: Sequence[int]) -> None:
    """What typed partials cost, parser included, in time and in memory."""
    for document, model in MODELS.items():
        for name, kind in CORES.items():
            for size in sizes:
                chunks = cut(written(document, size), 4)
                reader, spent = typed(kind, model), []
                for _ in range(3):
                    gc.collect()
                    spent.append(reader(chunks))
                cost = f"{1e6 * min(spent):.2f}"
                print(
                    f"{document:9} {size // 1000:5} KB, chunks of  4: TypedPartials, {name} {cost}"
                )
            ratio = memory(kind, written(document, 500_000), model)
            print(f"memory, TypedPartials, {name}, {document}: {ratio:.1f} × the final value")


def memory(kind: type[PartialParser], text: str, model: type[BaseModel] | None = None) -> float:
    """The most memory a parser, or typed partials, held over what the finished value takes."""
    tracemalloc.start()
    value = orjson.loads(text)
    own = tracemalloc.get_traced_memory()[0]
    del value
    gc.collect()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    parser: Any = kind(max_length=sys.maxsize)
    if model is not None:
        parser = TypedPartials(model, parser=parser)
    for at in range(0, len(text), 4):
        parser.feed(text[at : at + 4])
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak / own


def told(found: dict[str, float]) -> str:
    """A line: what each took, and what that is beside jiter again, and ijson."""
    line = "  ".join(f"{name} {spent:.2f}" for name, spent in found.items())
    for name in CORES:
        jiter = found.get("jiter again", float("nan")) / found[name]
        line += f"  | {name.removeprefix('foretell ')}: {jiter:.0f} × jiter"
        if "ijson C events" in found:
            line += f", {found[name] / found['ijson C events']:.1f} × ijson's cost"
    return line


def recorded(data: Path) -> Iterator[tuple[str, list[str]]]:
    """The tool inputs and JSON answers of recorded streams, in the chunks they came in."""
    for path in sorted((data / "llm_streams").glob("*/*.chunks.txt")):
        blocks: dict[int, list[str]] = {}
        for line in path.read_text("utf-8").splitlines():
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            delta = event.get("delta") if isinstance(event, dict) else None
            # An empty piece is an error to some readers, and the end to others.
            if isinstance(delta, dict) and delta.get("partial_json"):
                blocks.setdefault(event.get("index", 0), []).append(delta["partial_json"])
        for index, chunks in blocks.items():
            text = "".join(chunks)
            try:
                orjson.loads(text)
            except orjson.JSONDecodeError:  # cut short: beyond some readers
                continue
            if len(text) > 1_000:
                yield f"{path.name.removesuffix('.chunks.txt')} [{index}]", chunks


def plot(rows: Sequence[tuple[str, int, int, dict[str, float]]], target: str) -> None:
    """Cost of a chunk over the size of the document, for chunks of 4 characters."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "foretell", "svg.fonttype": "none"}
    from matplotlib import pyplot as plt

    shown = ("narration", "plans")
    figure, axes = plt.subplots(1, len(shown), figsize=(11, 4.5), sharey=True)
    for axis, document in zip(axes, shown, strict=True):
        names = dict.fromkeys(name for *_, found in rows for name in found)
        for name in names:
            points = [
                (size / 1000, found[name])
                for kind, size, chunk, found in rows
                if kind == document and chunk == 4 and name in found
            ]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        axis.set(xscale="log", yscale="log", title=document, xlabel="document, KB")
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("µs a chunk of 4 characters")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None} if target.endswith(".svg") else None)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two sizes, chunks of 4")
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    sizes = (15_000, 127_000) if args.quick else SIZES
    rows: list[tuple[str, int, int, dict[str, float]]] = []
    print("µs a chunk; × is the time of jiter again, or of ijson, over that of foretell")
    for document in DOCUMENTS:
        for size in sizes:
            text = written(document, size)
            for length in (4,) if args.quick else CHUNKS:
                found = measured(cut(text, length), size, 3 if size > 20_000 else 9)
                rows.append((document, size, length, found))
                print(f"{document:9} {size // 1000:5} KB, chunks of {length:2}: {told(found)}")
    for name, kind in CORES.items():
        for document in DOCUMENTS:
            ratio = memory(kind, written(document, 500_000))
            print(f"memory, {name}, {document}: {ratio:.1f} × the final value")
    typed_rows([size for size in sizes if size <= 127_000])
    for name, chunks in recorded(args.data):
        print(f"recorded {name}, {len(chunks)} chunks: {told(measured(chunks, 0, 9))}")
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
