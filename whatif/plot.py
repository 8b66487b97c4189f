"""A comparison as a picture. Matplotlib is wanted only here: the extra ``plot``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ForetellError
from ..sinks.terminal import counted, plain
from . import target

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check", "draw"]

FORMATS = (".png", ".svg")
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7a00", "#444444")
"""Told apart by colour-blind people too (Okabe and Ito, two changed to be seen on white)."""

SERVED = {"hit": "#009e73", "in_flight": "#8fd6bd", "miss": "#d9d9d9", "failed": "#d55e00"}
TOKENS = {"saved": "#009e73", "wasted": "#e69f00", "foreground": "#bdbdbd"}
STYLE: Any = {
    "svg.hashsalt": "foretell",  # ids in an SVG are drawn at random without it
    "svg.fonttype": "path",
    "text.parse_math": False,  # a name with dollars in it is a name
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}


def check(path: str) -> str:
    """The file to draw in.

    :raises ForetellError: if matplotlib is not there, the name ends in neither ``.png`` nor
        ``.svg``, or the file cannot be written.
    """
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        raise ForetellError(
            '--plot needs matplotlib: pip install "foretell[plot]" (or matplotlib itself)'
        ) from None
    return target.check(path, _is_picture, "a picture")


def _is_picture(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") or b"<svg" in content[:4096]


def draw(path: str, found: Mapping[str, Any], latencies: Sequence[Sequence[float]]) -> None:
    """Draw a comparison: how long outcomes waited, how they were served, tokens and dollars.

    The same comparison gives the same bytes with the same version of matplotlib.

    :param path: as :func:`check` returned it; its end decides between PNG and SVG.
    :param latencies: seconds to first text, per policy.
    :raises LogError: if it cannot be written.
    """
    import io

    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    policies = found["policies"]
    names = [plain(each["policy"]).replace(",", "\n") for each in policies]
    kind = os.path.splitext(path)[1].lower().removeprefix(".")
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in another script
        lines = [1 + name.count("\n") for name in names]
        heights = (max(3.6, 0.26 * sum(lines)), 1.2 + 0.3 * sum(max(each, 1.6) for each in lines))
        figure = Figure(figsize=(11, sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        halves: Any = figure.subfigures(2, 1, height_ratios=heights)  # margins of their own
        above, below = halves
        _waits(above.subplots(), names, latencies)
        served, tokens, usd = below.subplots(1, 3)
        _stacked(served, "Outcomes", names, [each["served"] for each in policies], SERVED)
        _stacked(tokens, "Tokens", names, [each["tokens"] for each in policies], TOKENS)
        _dollars(usd, names, [each["cost_usd"] for each in policies])
        title = f"{found['session']}: {counted(found['outcomes'], 'outcome')}"
        above.suptitle(plain(title), x=0.01, ha="left", fontsize=12)
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        into = io.BytesIO()
        figure.savefig(into, format=kind, dpi=150, metadata=metadata)
    target.write(path, into.getvalue())


def _waits(axes: Axes, names: Sequence[str], latencies: Sequence[Sequence[float]]) -> None:
    """The share of outcomes told within a time: one step line a policy."""
    most = max((max(each, default=0.0) for each in latencies), default=0.0) or 1.0
    for at, (name, seconds) in enumerate(zip(names, latencies, strict=True)):
        if not seconds:
            continue
        ordered = sorted(seconds)
        shares = [(n + 1) / len(ordered) for n in range(len(ordered))]
        axes.step(
            [0.0, *ordered, most * 1.03],
            [0.0, *shares, 1.0],
            where="post",
            label=name,
            color=COLOURS[at % len(COLOURS)],
            linestyle=("-", "--", ":", "-.")[at // len(COLOURS) % 4],
            linewidth=2,
        )
    axes.set(xlim=(0, most * 1.03), ylim=(0, 1.02), xlabel="seconds to first text")
    axes.set_title("Told within")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    if any(latencies):
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02))


def _stacked(
    axes: Axes,
    title: str,
    names: Sequence[str],
    rows: Sequence[Mapping[str, int]],
    parts: Mapping[str, str],
) -> None:
    shown = [part for part in parts if any(row[part] for row in rows)]
    left = [0] * len(rows)
    for part in shown:
        values = [row[part] for row in rows]
        label = part.replace("_", " ")
        axes.barh(range(len(rows)), values, 0.62, left, label=label, color=parts[part])
        left = [so_far + value for so_far, value in zip(left, values, strict=True)]
    _bars(axes, title, names, max(left, default=0), title == "Outcomes")
    for at, total in enumerate(left):
        axes.annotate(f"{total:,}", (total, at), (4, 0), textcoords="offset points", va="center")
    if shown:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=len(shown),
            fontsize=8,
            handlelength=1,
            columnspacing=1,
        )


def _dollars(axes: Axes, names: Sequence[str], dollars: Sequence[float | None]) -> None:
    colours = [COLOURS[at % len(COLOURS)] for at in range(len(names))]
    long = [usd or 0.0 for usd in dollars]
    axes.barh(range(len(names)), long, 0.62, color=colours)
    _bars(axes, "Dollars", names, max(long, default=0.0), named=False)
    for at, usd in enumerate(dollars):
        told = "no price" if usd is None else f"{usd:,.3f}"
        axes.annotate(told, (long[at], at), (4, 0), textcoords="offset points", va="center")


def _bars(axes: Axes, title: str, names: Sequence[str], most: float, named: bool) -> None:
    """Room for the figures, few ticks; the names only at the left of all."""
    axes.set_title(title)
    axes.set_yticks(range(len(names)), names if named else [""] * len(names))
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.35 or 1)
    axes.xaxis.set_major_locator(_few())
    axes.xaxis.set_major_formatter(
        lambda value, _: f"{value / 1000:,g}k" if value >= 1000 else f"{value:g}"
    )
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3)
