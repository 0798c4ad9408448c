"""One panel each: arrays in, drawn on axes of the caller, as `draw_curve(ax, …)`.

The figures and pages of runs and of files share them. A condition has one colour in all of them.

Shapes: C conditions, S seeds, N weights of a layer, Q points of a profile, P points of a curve.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dropout_jax.analysis.statistics import is_negligible
from dropout_jax.runs import drawing, style
from dropout_jax.runs.views import sort_by_view, view_name

BAND = 0.3  # opacity of the band of weights, which lies on their points
PALE = 0.35  # opacity of what is shown to be negligible


def largest(values: Iterable[np.ndarray]) -> float:
    """The largest finite value; 1 if there is none, as where all networks diverged.

    Example:
      >>> print(largest([np.array([0.2, 0.7]), np.array([np.nan])]), largest([]))
      0.7 1.0
    """
    flat = np.concatenate([np.zeros(0), *map(np.ravel, values)])
    finite = flat[np.isfinite(flat)]
    return float(finite.max()) if len(finite) else 1.0


def draw_weights(ax: Axes, magnitudes: np.ndarray, top: float, c: int) -> None:
    """Draw |w| [N] of condition c against weight index, and its mean, on a scale up to `top`.

    A grey band holds the middle 90 % of each window. With no weights, the panel says that
    no unit is live.
    """
    n = len(magnitudes)
    if n and np.isfinite(magnitudes).all():
        windows = np.array_split(magnitudes, min(40, ceil(n / 50)))  # of about 50 weights or more
        low, high = np.transpose([np.quantile(window, (0.05, 0.95)) for window in windows])
        edges = np.cumsum([0, *map(len, windows)])
        ax.stairs(high, edges, baseline=low, fill=True, color=style.GREY, alpha=BAND, zorder=1.5)
        ax.stairs(high, edges, baseline=None, color="black", lw=0.7, zorder=2)
    size = 0.5 if n > 20_000 else 2.5
    ax.scatter(  # not antialiased: as sharp, and the file is a third of the size
        np.arange(n), magnitudes, s=size, color=style.colour(c), lw=0, aa=False, rasterized=True
    )
    ax.axhline(magnitudes.mean() if n else np.nan, color="black", lw=0.8)
    if not np.isfinite(magnitudes).any():
        reason = "diverged" if n else "no live unit"
        ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center")
    ax.set_xlim(0, max(n, 1))
    ax.set_ylim(0, 1.18 * top)
    ax.xaxis.set_major_formatter(lambda i, _: f"{i / 1000:g}k" if i >= 1000 else f"{i:g}")


def draw_sorted(ax: Axes, relative: Mapping[str, np.ndarray]) -> None:
    """Draw magnitudes in units of their mean, sorted, {condition: [S, Q]}; flat at 1 is uniform.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> draw_sorted(ax, {"none": np.ones((3, 101))})  # seeds, fractions
      >>> print(ax.get_yscale())
      log
    """
    n_points = next(iter(relative.values())).shape[-1]
    ax.axhline(1, color=style.GREY, lw=0.8, ls=":")
    drawing.draw_bands(ax, np.linspace(0, 1, n_points), relative)
    drawing.log_scale(ax, (1, 3))
    shown = [values[..., n_points // 20 :] for values in relative.values()]  # the smallest go to 0
    low = min(np.nan_to_num(values, nan=1).min() for values in shown)
    ax.set_xlim(0, 1)
    ax.set_ylim(max(0.8 * low, 1e-2), 1.3 * largest(relative.values()))


def draw_lorenz(ax: Axes, lorenz: Mapping[str, np.ndarray], shaded: bool = False) -> None:
    """Draw Lorenz curves, {condition: [S, Q]}, and the diagonal, which is uniform.

    If `shaded`, grey fills what lies between the first and the diagonal: half of its Gini index
    without the factor N/(N - 1).

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> draw_lorenz(ax, {"none": np.ones((3, 101))})  # seeds, fractions
      >>> print(len(ax.lines))  # the diagonal, and one of each condition
      2
    """
    first = next(iter(lorenz.values()))
    fractions = np.linspace(0, 1, first.shape[-1])
    ax.plot([0, 1], [0, 1], color=style.GREY, lw=0.8, ls=":")
    drawing.draw_bands(ax, fractions, lorenz)
    if shaded:
        mean = first.mean(axis=0)
        ax.fill_between(fractions, mean, fractions, color=style.GREY, alpha=0.12, lw=0)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)


def draw_differences(
    ax: Axes, rows: Sequence[Mapping[str, Any]], conditions: Mapping[str, int]
) -> None:
    """Draw differences with intervals, a line per layer and view, in order (`sort_by_view`).

    A mark is filled if there is a difference, pale if it is negligible, open if undecided.

    Args:
      rows: of a summary's comparisons, of one measure.
      conditions: {name: its number c}, see `style.condition_numbers`.

    Example:
      >>> row = {"condition": "dropout", "layer": 0, "view": "entries", "difference": -0.1}
      >>> row |= {"ci_low": -0.2, "ci_high": -0.05, "verdict": "more uniform"}
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> draw_differences(ax, [row], {"dropout": 1})
      >>> print(ax.get_yticklabels()[0].get_text())
      layer 0   weights
    """
    cells = list(dict.fromkeys((row["layer"], row["view"]) for row in sort_by_view(rows)))
    names, n = list(conditions), len(conditions)
    ax.axvline(0, color="black", lw=0.8)
    for row in rows:
        y = cells.index((row["layer"], row["view"]))
        offset = 0.8 / n * (names.index(row["condition"]) - (n - 1) / 2)
        c, middle, verdict = conditions[row["condition"]], row["difference"], row["verdict"]
        colour = style.colour(c)
        fill = (colour, PALE) if is_negligible(verdict) else colour
        ax.errorbar(
            middle,
            y + offset,
            xerr=np.maximum([[middle - row["ci_low"]], [row["ci_high"] - middle]], 0),  # rounded
            fmt=style.marker(c),
            ms=5,
            color=colour,
            mfc="white" if verdict == "undecided" else fill,
            capsize=2,
        )
    layers = list(dict.fromkeys(layer for layer, _ in cells))
    for y, (layer, _) in enumerate(cells):
        if layers.index(layer) % 2:
            ax.axhspan(y - 0.5, y + 0.5, color=style.STRIPE, lw=0, zorder=-1)
    titles = [f"layer {layer}" if isinstance(layer, int) else layer for layer, _ in cells]
    views = [view_name(view) for _, view in cells]
    ax.set_yticks(range(len(cells)), map("{}   {}".format, titles, views))
    ax.set_ylim(len(cells) - 0.5, -0.5)


def fill_handles() -> list[Line2D]:
    """Handles of a legend of the marks that are not filled in `draw_differences`."""
    fills = {"negligible": (style.GREY, PALE), "undecided": "white"}
    return [
        Line2D([], [], color=style.GREY, marker="o", mfc=fill, ls="", label=verdict)
        for verdict, fill in fills.items()
    ]


def draw_curve(
    ax: Axes,
    epochs: np.ndarray,
    values: Mapping[str, np.ndarray],
    metric: str,
    own: bool = False,
) -> None:
    """Draw losses in nats, or error rates in per cent, given as fractions {condition: [S, P]}.

    Args:
      epochs: of the points [P].
      metric: "loss" or "error".
      own: whether the metric is another one, which has no unit.
    """
    if own:
        drawing.draw_bands(ax, epochs, values)
        if metric == "loss" and min(losses.min() for losses in values.values()) > 0:
            drawing.log_scale(ax, (1, 2, 5))
    elif metric == "loss":
        positive = {name: np.maximum(losses, 1e-6) for name, losses in values.items()}
        drawing.draw_bands(ax, epochs, positive)
        if any(np.isfinite(losses).any() for losses in values.values()):  # else it has no log scale
            drawing.log_scale(ax, (1, 2, 5))
        ax.set_ylabel("nats")
    else:
        per_cent = {name: 100 * errors for name, errors in values.items()}
        drawing.draw_bands(ax, epochs, per_cent)
        late = largest(errors[..., len(epochs) // 4 :] for errors in per_cent.values())
        whole = largest(per_cent.values())
        ax.set_ylim(0, max(1.05 * whole if whole < 3 * late else 1.3 * late, 1))
        ax.set_ylabel("%")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
