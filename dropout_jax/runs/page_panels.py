"""The small pictures of a page: one panel each, with its caption and the same in words.

Shapes: C conditions, S seeds, N weights of a layer, Q points of a profile, P points of a curve.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dropout_jax.analysis.uniformity import Profile
from dropout_jax.runs import panels, style
from dropout_jax.runs.svg import inline_svg
from dropout_jax.runs.views import sort_by_view
from dropout_jax.runs.wording import describe_differences

PANEL_STYLE = {**style.STYLE, "font.size": 8, "axes.labelpad": 6}  # a page may enlarge the text


class Panel(NamedTuple):
    """A figure, its caption, and the choices for which it is shown, {control: value}."""

    svg: Markup
    caption: str
    shown_for: dict[str, str]


def new_panel(
    x_label: str, y_label: str = "", height: float = 2.3, left: float = 0.6
) -> tuple[Figure, Axes]:
    """A figure and its axes; fixed margins, in inches, are faster than a layout engine.

    Example:
      >>> figure, axes = new_panel("epoch", "nats")
      >>> print(axes.get_xlabel(), figure.get_size_inches())
      epoch [4.2 2.3]
    """
    width, right, bottom, top = 4.2, 0.15, 0.45, 0.1
    figure = Figure(figsize=(width, height))
    wide, high = width - left - right, height - bottom - top
    axes = figure.add_axes((left / width, bottom / height, wide / width, high / height))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _ends(names: Sequence[str], values: np.ndarray, unit: str = "") -> str:
    """Where the mean lines of values [C, S, …] end, in words."""
    last = values[..., -1].mean(axis=1)
    return ", ".join(f"{name} {end:.3g}{unit}" for name, end in zip(names, last, strict=True))


def swatches(names: Iterable[str]) -> dict[str, Markup]:
    """The line of each condition by name, for a legend.

    Example:
      >>> print("stroke: var(--k1)" in swatches(["none", "dropout"])["dropout"])
      True
    """
    drawn = {}
    for name, c in style.condition_numbers(names).items():
        figure = Figure(figsize=(0.42, 0.11))
        figure.add_artist(Line2D([0, 1], [0.5, 0.5], color=style.colour(c), ls=style.line(c)))
        drawn[name] = inline_svg(figure, f"swatch{c}")
    return drawn


@mpl.rc_context(PANEL_STYLE)
def weight_panels(
    magnitudes: Mapping[str, Mapping[str, np.ndarray]], changes: Mapping[str, Mapping[str, float]]
) -> list[Panel]:
    """|w| [N] against weight index, a panel per layer and condition, on one scale per layer.

    Args:
      magnitudes: {layer title: {condition: |w|}} of one network each.
      changes: {condition: {layer title: mean difference in Gini over seeds}}.

    Example:
      >>> none, dropout = np.array([0.1, 0.3]), np.array([0.2, 0.2])
      >>> drawn = weight_panels({"layer 0": {"none": none, "dropout": dropout}}, {})
      >>> print([panel.shown_for for panel in drawn])
      [{'layer': 'layer 0'}, {'layer': 'layer 0', 'condition': 'dropout'}]
    """
    drawn = []
    for l, (layer, of_conditions) in enumerate(magnitudes.items()):
        baseline, *_ = of_conditions
        top = panels.largest(of_conditions.values())
        for name, c in style.condition_numbers(of_conditions).items():
            a = of_conditions[name]
            figure, axes = new_panel("weight index", "|w|")
            panels.draw_weights(axes, a, top, c)
            finite = a[np.isfinite(a)]
            caption = f"|w| against weight index, {name}, {layer}: {len(finite):,} weights, "
            if len(finite):
                caption += f"mean {finite.mean():.3g}, largest {finite.max():.3g}"
                if layer in changes.get(name, {}):
                    change = changes[name][layer]
                    caption += f"; over seeds, the Gini differs by {change:+.3f} from {baseline}"
            else:
                caption += "diverged" if len(a) else "no live unit"
            chosen = {"condition": name} if name != baseline else {}  # which all are shown beside
            svg = inline_svg(figure, f"weights{l}-{c}", caption, c)
            drawn.append(Panel(svg, caption, {"layer": layer, **chosen}))
    return drawn


@mpl.rc_context(PANEL_STYLE)
def profile_panels(
    profiles: Mapping[str, Profile], names: Sequence[str], quantity: str
) -> list[Panel]:
    """Sorted magnitudes and Lorenz curves of each title, {title: `Profile` [C, S, Q]}, in pairs.

    Example:
      >>> flat = np.ones((2, 3, 101))  # conditions, seeds, fractions
      >>> profile = Profile(flat, flat * np.linspace(0, 1, 101))
      >>> drawn = profile_panels({"layer 0": profile}, ["none", "dropout"], "|w|")
      >>> print([panel.caption for panel in drawn])
      ['layer 0', 'layer 0, shaded: half the Gini of none, without N/(N - 1)']
    """
    drawn = []
    for l, (title, profile) in enumerate(profiles.items()):
        relative, lorenz = map(np.asarray, profile)
        key = f"{quantity.strip('|')}{l}"
        known = np.isfinite(relative).any()  # else no unit is live, or all networks diverged
        figure, axes = new_panel("fraction, from the smallest", f"{quantity} / mean")
        panels.draw_sorted(axes, dict(zip(names, relative[..., ::2], strict=True)))
        description = f"{quantity} sorted, in units of its mean, {title}; largest: "
        svg = inline_svg(figure, f"sorted-{key}", description + _ends(names, relative))
        drawn.append(Panel(svg, title if known else f"{title}: not measured", {"layer": title}))
        figure, axes = new_panel("fraction, from the smallest", "share of the sum")
        some = lorenz[..., ::8]  # smooth curves need few points
        panels.draw_lorenz(axes, dict(zip(names, some, strict=True)), shaded=True)
        half = lorenz[..., : lorenz.shape[-1] // 2 + 1]
        description = f"Lorenz curves of {quantity}, {title}; share of the smaller half: "
        svg = inline_svg(figure, f"lorenz-{key}", description + _ends(names, half))
        shaded = f"shaded: half the Gini of {names[0]}, without N/(N - 1)"
        caption = f"{title}, {shaded}" if known else f"{title}: not measured"
        drawn.append(Panel(svg, caption, {"layer": title}))
    return drawn


@mpl.rc_context(PANEL_STYLE)
def difference_panels(
    comparisons: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[Panel]:
    """Differences in Gini from the baseline, a panel per other condition, all on one scale."""
    rows = [row for row in comparisons if row["measure"] == "gini"]
    ends = np.array([[row["ci_low"], row["ci_high"]] for row in rows], float)
    top = 1.05 * (panels.largest(np.abs(ends)) or 1.0)
    drawn = []
    for name, c in list(style.condition_numbers(names).items())[1:]:
        shown = [row for row in rows if row["condition"] == name]
        x_label = "difference in Gini (left: more uniform)"
        figure, axes = new_panel(x_label, height=0.6 + 0.17 * len(shown), left=1.8)
        panels.draw_differences(axes, shown, {name: c})
        axes.set_xlim(-top, top)
        axes.xaxis.set_major_locator(MaxNLocator(3))  # whose labels fit on a phone
        caption = f"{name} minus {names[0]}"
        description = describe_differences(sort_by_view(shown), caption)
        drawn.append(Panel(inline_svg(figure, f"differences{c}", description), caption, {}))
    return drawn


@mpl.rc_context(PANEL_STYLE)
def curve_panels(
    epochs: np.ndarray,
    values: Mapping[str, np.ndarray],
    names: Sequence[str],
    own: Sequence[str] = (),
) -> list[Panel]:
    """Losses and errors along training, {"train_loss": [C, S, P], …}; `own` metrics have no unit.

    Example:
      >>> (panel,) = curve_panels(np.arange(4), {"test_error": np.ones((1, 3, 4))}, ["none"])
      >>> print(panel.caption)
      test error
    """
    units = {"loss": (1, " nats"), "error": (100, " %")} | dict.fromkeys(own, (1, ""))
    drawn = []
    for name, of_conditions in values.items():
        split, metric = name.split("_")
        scale, unit = units[metric]
        figure, axes = new_panel("epoch")
        lines = dict(zip(names, of_conditions, strict=True))
        panels.draw_curve(axes, epochs, lines, metric, metric in own)
        caption = f"{split} {metric}"
        ends = _ends(names, scale * of_conditions, unit)
        svg = inline_svg(figure, f"curves-{name}", f"{caption} along training; at the end {ends}")
        drawn.append(Panel(svg, caption, {}))
    return drawn
