"""Charts as inline SVG: arrays in, markup out, coloured by classes that the page's style defines.

So they follow light and dark, print, and need no script. Condition c has the class `c0` … `c5`, and
a dash of its own `d0` … `d5`; every text that is put in is escaped.

Shapes: S seeds, P points of a line, N weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 40
N_COLUMNS = 400  # of the plot of weights
N_COLOURS = 6


class Axis(NamedTuple):
    """Values low … high on pixels start … end.

    Example:
      >>> print(Axis(0, 10, 100, 200).place([0, 5, 10]))
      [100. 150. 200.]
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, values: Any) -> Any:
        """Where values lie, in pixels; beyond the ends at them."""
        low, high, values = self.low, self.high, np.asarray(values, float)
        if self.log:
            low, high, values = np.log(low), np.log(high), np.log(np.maximum(values, self.low))
        share = (values - low) / ((high - low) or 1)
        return self.start + (self.end - self.start) * np.clip(np.nan_to_num(share), 0, 1)

    def ticks(self) -> list[float]:
        """Some round values between the ends."""
        locator = LogLocator(subs=(1, 2, 5)) if self.log else MaxNLocator(5)
        ticks = locator.tick_values(self.low, self.high)
        return [float(t) for t in ticks if self.low <= t <= self.high][:8]


class Line(NamedTuple):
    """A line of condition c: where, its mean, and the band of its range over seeds, all [P]."""

    c: int
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def over_seeds(c: int, x: np.ndarray, values: np.ndarray) -> Line:
    """The line of values [S, P]; where a seed is not finite it has no say.

    Example:
      >>> line = over_seeds(0, np.arange(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
      >>> print(line.mean, line.low, line.high)
      [2. 3.] [1. 2.] [3. 4.]
    """
    sound = values[np.isfinite(values).all(axis=1)]
    sound = sound if len(sound) else np.zeros((1, len(x)))
    return Line(c, x, sound.mean(axis=0), sound.min(axis=0), sound.max(axis=0))


def look(c: int) -> str:
    """The classes of condition c.

    Example:
      >>> print(look(0), look(7))
      c0 d0 c1 d2
    """
    return f"c{c % N_COLOURS} d{(c + c // N_COLOURS) % N_COLOURS}"


def line_chart(
    lines: Sequence[Line], x_label: str, y_label: str, told: str, *, log: bool = False
) -> Markup:
    """Lines with bands; `told` says in words what is to be seen.

    Example:
      >>> line = over_seeds(0, np.arange(3), np.array([[0.3, 0.2, 0.1]]))
      >>> chart = line_chart([line], "epoch", "error", "the error falls")
      >>> print(chart.count("line c0 d0"), "the error falls" in chart)
      1 True
    """
    values = np.concatenate([np.concatenate([one.low, one.high]) for one in lines])
    values = values[values > 0] if log else values
    low = float(values.min(initial=1e30)) if log else min(0.0, float(values.min()))
    high = float(values.max(initial=low * 10 if log else low + 1e-9))
    x = Axis(float(lines[0].x[0]), float(lines[0].x[-1]), LEFT, WIDTH - RIGHT)
    y = Axis(min(low, high / 10) if log else low, high, HEIGHT - BOTTOM, TOP, log)
    bands = [
        Markup('<path class="band {}" d="{}Z"/>').format(
            look(one.c),
            _path(x.place(one.x), y.place(one.high))
            + _path(x.place(one.x[::-1]), y.place(one.low[::-1])).replace("M", "L", 1),
        )
        for one in lines
    ]
    means = [
        Markup('<path class="line {}" d="{}"/>').format(
            look(one.c), _path(x.place(one.x), y.place(one.mean))
        )
        for one in lines
    ]
    return _chart(_frame(x, y, x_label, y_label), *bands, *means, told=told)


def weight_chart(magnitudes: np.ndarray, top: float, c: int, told: str) -> Markup:
    """The lecture's plot: |w| [N] against index, up to `top`, with the mean.

    Up to 400 weights are a stem each. More share 400 columns: a light line from the smallest to the
    largest of those in it, a dark one from quartile to quartile.

    Example:
      >>> print(weight_chart(np.array([0.5]), 1.0, 0, "<one> weight")[:62])
      <svg role="img" viewBox="0 0 480 250" aria-label="&lt;one&gt;
    """
    n = len(magnitudes)
    x, y = Axis(0, max(n, 1), LEFT, WIDTH - RIGHT), Axis(0, top, HEIGHT - BOTTOM, TOP)
    parts = [_frame(x, y, "weight index", "|w|")]
    if n <= N_COLUMNS:
        places = x.place(np.arange(n) + 0.5)
        stems = _stems(places, np.full(n, y.start), y.place(magnitudes))
        parts.append(Markup('<path class="quartiles {}" d="{}"/>').format(look(c), stems))
    else:
        columns = np.array_split(magnitudes, N_COLUMNS)
        places = x.place((np.arange(N_COLUMNS) + 0.5) * n / N_COLUMNS)
        quantiles = np.array([np.quantile(column, (0, 0.25, 0.75, 1)) for column in columns])
        for name, low, high in (("range", 0, 3), ("quartiles", 1, 2)):
            stems = _stems(places, y.place(quantiles[:, low]), y.place(quantiles[:, high]))
            parts.append(Markup('<path class="{} {}" d="{}"/>').format(name, look(c), stems))
    if n:
        mean = _path(np.array([x.start, x.end]), y.place(np.full(2, magnitudes.mean())))
        parts.append(Markup('<path class="mean" d="{}"/>').format(mean))
    return _chart(*parts, told=told)


def interval_chart(
    rows: Sequence[Mapping[str, Any]], x_label: str, c: int, told: str, top: float
) -> Markup:
    """Differences with intervals, a row each, filled if they are decided; 0 in the middle.

    Example:
      >>> row = {"layer": 0, "view": "entries", "verdict": "more uniform"}
      >>> row |= {"difference": -0.1, "ci_low": -0.2, "ci_high": 0.0}
      >>> print("layer 0, entries" in interval_chart([row], "difference", 1, "told", 0.2))
      True
    """
    left, step = 150, 22
    height = step * len(rows) + TOP + BOTTOM
    x = Axis(-top, top, left, WIDTH - RIGHT)
    zero = x.place(0.0)
    parts = [
        Markup('<path class="mean" d="M{} {}V{}"/>').format(_n(zero), TOP, height - BOTTOM),
        *_x_ticks(x, height - BOTTOM, x_label),
    ]
    for k, row in enumerate(rows):
        y = TOP + step * (k + 0.5)
        name = f"layer {row['layer']}, {row['view'].replace('_', ' ')}"
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
                left - 8, _n(y + 4), name
            )
        )
        if not np.isfinite(row["difference"]):
            continue
        at, low, high = (_n(x.place(row[key])) for key in ("difference", "ci_low", "ci_high"))
        decided, colour = "uniform" in row["verdict"], f"c{c % N_COLOURS}"
        mark = Markup('<path class="line {}" d="M{} {}H{}"/><circle class="{} {}" cx="{}" cy="{}"')
        parts.append(
            mark.format(colour, low, _n(y), high, "full" if decided else "open", colour, at, _n(y))
            + Markup(' r="4"/>')
        )
    return _chart(*parts, told=told, height=height)


def _n(value: Any) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{float(value):.1f}".removesuffix(".0")


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{_n(a)} {_n(b)}" for a, b in zip(x, y, strict=True))


def _stems(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    return "".join(f"M{_n(a)} {_n(b)}V{_n(c)}" for a, b, c in zip(x, low, high, strict=True))


def _x_ticks(x: Axis, bottom: float, label: str) -> list[Markup]:
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>')
    ticks = [text.format(_n(x.place(t)), _n(bottom + 16), f"{t:g}") for t in x.ticks()]
    middle = (x.start + x.end) / 2
    named = Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>')
    return [*ticks, named.format(_n(middle), _n(bottom + 33), label)]


def _frame(x: Axis, y: Axis, x_label: str, y_label: str) -> Markup:
    """Axes with ticks and labels."""
    rule = Markup('<path class="grid" d="M{} {}H{}"/>')
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>')
    parts = [*_x_ticks(x, y.start, x_label)]
    for tick in y.ticks():
        at = _n(y.place(tick))
        parts.append(rule.format(_n(x.start), at, _n(x.end)))
        parts.append(text.format(_n(x.start - 6), _n(float(at) + 4), f"{tick:g}"))
    across = Markup('<text transform="translate(12 {})rotate(-90)" text-anchor="middle">{}</text>')
    parts.append(across.format(_n((y.start + y.end) / 2), y_label))
    return Markup("").join(parts)


def _chart(*parts: Markup, told: str, height: float = HEIGHT) -> Markup:
    opening = Markup('<svg role="img" viewBox="0 0 {} {}" aria-label="{}">')
    return opening.format(WIDTH, _n(height), told) + Markup("").join(parts) + Markup("</svg>")
