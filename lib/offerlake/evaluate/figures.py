"""The report's pictures: SVG as data URIs, one for light pages and one for dark ones, without pyplot's global state."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from offerlake.evaluate.facts import Number

_WIDTH = 7.2  # inches; the page scales it
_WHOLE = FuncFormatter(lambda x, _: f"{x:,.10g}".replace("-", "−"))
_PERCENT = FuncFormatter(lambda x, _: f"{100 * x:.4g} %".replace("-", "−"))


@dataclass(frozen=True)
class Theme:
    """Colours of one page."""

    text: str
    quiet: str
    grid: str
    main: str
    second: str
    third: str


LIGHT = Theme(text="#1d2433", quiet="#5b6478", grid="#e1e5ee", main="#3155d4", second="#0f8a7e", third="#c2660a")
DARK = Theme(text="#e8ebf3", quiet="#a3adc2", grid="#323a4d", main="#92a8ff", second="#43cfc0", third="#f0a45b")


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows, for those who cannot see it."""

    light: str
    dark: str
    alt: str


def intervals(
    rows: Sequence[tuple[str, Number]], *, axis: str, alt: str, reference: float | None = None, percent: bool = False
) -> Picture:
    """Numbers as points with their 95 % intervals as lines, one row each, the first on top.

    Args:
        rows: Label and number; those that are not defined are left out.
        axis: What the numbers are.
        alt: What is to be seen.
        reference: Where to draw a dashed line, such as 0 or chance.
        percent: The numbers are shares.
    """
    shown = [(label, number.value, number) for label, number in rows if number.value is not None]

    def draw(axes: Axes, theme: Theme) -> None:
        for place, (_, value, number) in enumerate(reversed(shown)):
            colour = theme.main if place == len(shown) - 1 else theme.quiet
            if number.low is not None and number.high is not None:
                axes.plot(
                    [number.low, number.high], [place, place], color=colour, lw=3, alpha=0.45, solid_capstyle="round"
                )
            axes.plot([value], [place], "o", color=colour, ms=8)
        if reference is not None:
            axes.axvline(reference, color=theme.quiet, lw=1, ls=(0, (4, 3)))
        axes.set_yticks(range(len(shown)), [label for label, _, _ in reversed(shown)])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.grid(axis="x")
        axes.set_xlabel(axis)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(_PERCENT if percent else _WHOLE)

    return _picture(draw, height=0.9 + 0.42 * max(1, len(shown)), alt=alt)


def bars(rows: Sequence[tuple[str, Sequence[float]]], *, series: Sequence[str], axis: str, alt: str) -> Picture:
    """Horizontal bars, the parts of each beside one another, the first row on top."""

    def draw(axes: Axes, theme: Theme) -> None:
        colours = (theme.main, theme.second, theme.third)
        places = range(len(rows) - 1, -1, -1)
        start = [0.0] * len(rows)
        for part, name in enumerate(series):
            widths = [values[part] for _, values in rows]
            axes.barh(list(places), widths, left=start, height=0.62, color=colours[part % 3], label=name)
            start = [old + width for old, width in zip(start, widths, strict=True)]
        axes.set_yticks(list(places), [label for label, _ in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="x")
        axes.set_xlabel(axis)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(_WHOLE)
        if len(series) > 1:
            axes.legend(loc="lower right", frameon=False, labelcolor=theme.text)

    return _picture(draw, height=0.9 + 0.4 * max(1, len(rows)), alt=alt)


def calibration(groups: Sequence[tuple[float, Number]], *, alt: str) -> Picture:
    """What was predicted against what happened, with the line on which both agree.

    Args:
        groups: Mean predicted probability and share with the label, with its interval, of groups of customers.
        alt: What is to be seen.
    """
    known = [(p, y.value, y.low or 0.0, y.high or y.value) for p, y in groups if y.value is not None]
    largest = max(max(p, high) for p, _, _, high in known) * 1.05

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot([0, largest], [0, largest], color=theme.quiet, lw=1, ls=(0, (4, 3)))
        for p, _, low, high in known:
            axes.plot([p, p], [low, high], color=theme.main, lw=3, alpha=0.35, solid_capstyle="round")
        axes.plot([p for p, *_ in known], [y for _, y, *_ in known], "o", color=theme.main, ms=7)
        axes.set_xlim(0, largest)
        axes.set_ylim(0, largest)
        axes.set_xlabel("predicted")
        axes.set_ylabel("happened")
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_locator(MaxNLocator(6))
            side.set_major_formatter(_PERCENT)
        axes.grid()

    return _picture(draw, height=4.2, width=5.0, alt=alt)


def _picture(draw: Callable[[Axes, Theme], None], *, height: float, alt: str, width: float = _WIDTH) -> Picture:
    return Picture(_uri(draw, LIGHT, width, height), _uri(draw, DARK, width, height), alt)


def _uri(draw: Callable[[Axes, Theme], None], theme: Theme, width: float, height: float) -> str:
    style: dict[Any, Any] = {
        "text.color": theme.text,
        "text.parse_math": False,
        "axes.labelcolor": theme.quiet,
        "axes.edgecolor": theme.grid,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "xtick.color": theme.quiet,
        "ytick.color": theme.text,
        "ytick.left": False,
        "grid.color": theme.grid,
        "font.size": 10.5,
        "svg.hashsalt": "offerlake",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots(), theme)
        content = io.BytesIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"
