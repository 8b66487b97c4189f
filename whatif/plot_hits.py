"""The hit rate over the number of queries, as a picture."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..operators.calibration import Calibration
from ..sinks.terminal import plain
from . import target
from .plot import COLOURS, STYLE, check

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check", "curve", "draw"]

WITHIN = 3
"""A query is a hit if it was among the first three predictions."""


def curve(marks: Sequence[Calibration], k: int = WITHIN) -> list[float]:
    """The share of hits so far after each number of queries, over all nights that have so many."""
    hits = events = 0
    found = []
    for at in range(max((len(each.ranks) for each in marks), default=0)):
        now = [each.ranks[at] for each in marks if at < len(each.ranks)]
        events += len(now)
        hits += len([rank for rank in now if 0 < rank <= k])
        found.append(hits / events)
    return found


def draw(path: str, curves: Mapping[str, Mapping[str, Sequence[Calibration]]]) -> None:
    """Draw one panel a table, one line a predictor; the same figures give the same bytes.

    :param path: as :func:`check` returned it.
    :raises LogError: if it cannot be written.
    """
    import io

    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = os.path.splitext(path)[1].lower().removeprefix(".")
    across = min(2, len(curves))
    down = -(-len(curves) // across)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = Figure(figsize=(6 * across, 3 * down), layout="constrained")
        FigureCanvasAgg(figure)
        panels: list[Any] = list(figure.subplots(down, across, squeeze=False).flat)
        for axes, (title, marks) in zip(panels, curves.items(), strict=False):
            _panel(axes, plain(title), marks)
        for axes in panels[len(curves) :]:
            axes.set_axis_off()
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        into = io.BytesIO()
        figure.savefig(into, format=kind, dpi=150, metadata=metadata)
    target.write(path, into.getvalue())


def _panel(axes: Axes, title: str, marks: Mapping[str, Sequence[Calibration]]) -> None:
    for at, (name, each) in enumerate(marks.items()):
        rates = curve(each)
        axes.plot(range(1, len(rates) + 1), rates, label=name, color=COLOURS[at % len(COLOURS)])
    axes.set(title=title, ylim=(0, 1), xscale="log", xlabel="queries")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.xaxis.set_major_formatter(lambda many, _: f"{many:,.0f}")
    axes.set_ylabel(f"among the first {WITHIN}")
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.legend(fontsize=7, ncols=2)
