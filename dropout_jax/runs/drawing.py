"""What many figures draw the same way: bands, points and plain numbers on a log scale.

Shapes: S seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from dropout_jax.runs.style import colour, condition_numbers, line


class _LogTicks(MaxNLocator):
    """Ticks at multiples of powers of ten; at some of the powers, 1 among them, if few fit.

    Where fewer than two of the multiples are, ticks are as on a linear axis.
    """

    def __init__(self, multiples: Sequence[float]) -> None:
        super().__init__(4)
        self._multiples = multiples

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The ticks between two values."""
        low, high = np.log10([vmin, vmax])
        axis: Any = self.axis
        n_labels = 1.8 * max(axis.get_tick_space(), 1)  # matplotlib leaves as much free
        decades = (high - low) / n_labels
        powers = np.arange(np.floor(low), np.ceil(high) + 1)
        gaps = np.diff(np.log10([*self._multiples, 10]))
        sparse = 10 ** powers[powers % max(np.ceil(decades), 1) == 0]
        if gaps.min() < decades and _within(sparse, vmin, vmax).size:
            return sparse
        dense = np.outer(10**powers, self._multiples).ravel()
        if _within(dense, vmin, vmax).size > 1:
            return dense
        return _within(np.asarray(super().tick_values(vmin, vmax)), vmin, vmax)


def _within(ticks: np.ndarray, low: float, high: float) -> np.ndarray:
    return ticks[(ticks >= low) & (ticks <= high)]


def log_scale(ax: Axes, subs: Sequence[float]) -> None:
    """Make the y axis logarithmic, with plain numbers at these multiples of powers of ten."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(_LogTicks(subs))
    ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def draw_bands(ax: Axes, x: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Draw a `draw_band` for each condition, {name: values [S, len(x)]}.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> draw_bands(ax, np.arange(4), dict.fromkeys(["none", "l2"], np.ones((3, 4))))
      >>> print(len(ax.lines), len(ax.collections))
      2 2
    """
    for name, c in condition_numbers(values).items():
        draw_band(ax, x, values[name], c)


def draw_band(ax: Axes, x: np.ndarray, values: np.ndarray, c: int) -> None:
    """Draw the mean of values [S, len(x)] as a line and their range as a band, for condition c.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> draw_band(ax, np.arange(4), np.ones((3, 4)), 1)
      >>> print(ax.lines[0].get_color())
      #D55E00
    """
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour(c), alpha=0.25, lw=0)
    ax.plot(x, values.mean(axis=0), color=colour(c), lw=1.3, ls=line(c))


def draw_points(ax: Axes, names: Sequence[str], values: Iterable[np.ndarray]) -> None:
    """Draw a column of points for each condition, one per seed of its values [S], and their mean.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> draw_points(ax, ["none", "dropout"], np.ones((2, 3)))  # conditions, seeds
      >>> print([tick.get_text() for tick in ax.get_xticklabels()])
      ['none', 'dropout']
    """
    for x, (c, points) in enumerate(zip(condition_numbers(names).values(), values, strict=True)):
        ax.plot(np.full(len(points), x), points, ".", color=colour(c), alpha=0.6)
        ax.plot([x - 0.3, x + 0.3], [points.mean()] * 2, color="black", lw=1)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
