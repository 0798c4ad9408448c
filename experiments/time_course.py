"""When in training does dropout spread weights, and is it more than moving further from the start?

Question    A network that moves further from a nearly uniform start has less uniform weights,
            whatever moves it. Is the Gini of every layer, along training, a function of the
            distance alone, the same with dropout as without?
Predicted   C1 At equal distance the Gini of |w| of the first layer differs negligibly between none
            and rates .2, .5, .8 (margin .005; initial scale 1). C2 So it does at the other scales.
            C3 Rate .5 has a lower Gini of |w| in the output layer, by more than .01, at the
            distance of the end. C4 So it has for contributions of the last hidden layer. C5 Open:
            L2 follows the law of the first layer. C6 After one epoch the difference of
            contributions of the last hidden layer is at least half of that at the end.
Judged      The distance is ‖w - w₀‖ / ‖w₀‖. The reference is the mean Gini without dropout by mean
            distance, at the same scale. Dropout mostly moves further than none ever does; from
            there on the reference is that of none's last change stretched. A moment still beyond,
            or short of none's first, is left out. Equal distances are reached at other moments and
            losses. The reference's own error over seeds is not counted.
Seen        A trial, before the predictions: Ginis of |w| followed the law in the first layer, and
            not in the output layer.
Command     python -m experiments.time_course [--quick]
Time        about twenty minutes on two CPU cores

Scientific  rate of hidden layers (0, .2, .5, .8), tuned L2; initial kernels × .1, .5, 1, 2
Fixed       as in the main study; 30 seeds; 16 moments on a logarithmic scale, the first before
            training
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dropout_jax.analysis.paired import interval
from dropout_jax.data import load_dataset
from dropout_jax.io import writers
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.devices import map_members
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, course_page, differences, judging, record, study
from experiments.shared.courses import Look, course, law, moments
from experiments.shared.members import paired_members

RESULTS = study.RESULTS / "time_course"
RATES = {"none": 0.0, "dropout .2": 0.2, "dropout .5": 0.5, "dropout .8": 0.8}
NAMES = (*RATES, "L2")
SCALES = (0.1, 0.5, 1.0, 2.0)
STRETCHES = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0)
SAME, LOWER = 0.005, 0.01  # Gini
Values = dict[str, np.ndarray]  # {quantity: [scales, C, S, M]}


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    seeds: int = 30


QUICK = Size("digits", (16, 16), epochs=2, seeds=6)


class Found(NamedTuple):
    """Looks at all members [scales, C, S, M] at these steps, and at their stretched changes."""

    steps: tuple[int, ...]
    an_epoch: int
    looks: Look
    stretched: Look


def run(size: Size) -> Found:
    """Train and look."""
    data, n_hidden = load_dataset(size.dataset), len(size.features)
    config = Config(MLP((*size.features, data.n_classes)), epochs=size.epochs)
    none = Hparams(study.layer_rates(0.0, n_hidden))
    conditions = [none._replace(rates=study.layer_rates(r, n_hidden)) for r in RATES.values()]
    conditions.append(none._replace(weight_decay=study.tuned_l2()))
    cells = list(itertools.product(SCALES, conditions))
    members = (
        *paired_members([hparams for _, hparams in cells], size.seeds),
        np.tile(np.array([[scale] for scale, _ in cells], np.float32), (1, size.seeds)),
    )
    an_epoch = len(data.x_train) // config.batch_size
    steps = moments(size.epochs, an_epoch)
    looks = map_members(course, (config, steps, STRETCHES), members, data)
    leading = (len(SCALES), len(conditions))
    looks, stretched = jax.tree.map(lambda leaf: leaf.reshape(*leading, *leaf.shape[1:]), looks)
    return Found(steps, an_epoch, looks, stretched)


def above_law(quantity: str, values: Values, stretched: Values) -> np.ndarray:
    """The Gini minus that of none at the same distance and scale [scales, C, S, M]; NaN beyond."""
    distances = f"distance, layer {quantity[-1]}"
    reference = []
    for s in range(len(SCALES)):
        x, y = (
            np.append(values[name][s, 0].mean(0), stretched[name][s, 0].mean(0))
            for name in (distances, quantity)
        )
        reference.append(law(x, y, values[distances][s]))
    return values[quantity] - np.stack(reference)


def family(
    quantity: str,
    above: np.ndarray,
    scales: list[int],
    conditions: list[int],
    steps: tuple[int, ...],
) -> list[dict[str, Any]]:
    """Rows of one family: differences from the law that most seeds reach, after the start."""
    cells = [
        (s, c, m)
        for s, c, m in itertools.product(scales, conditions, range(1, len(steps)))
        if np.isfinite(above[s, c, :, m]).sum() >= above.shape[2] // 2
    ]
    if not cells:
        return []
    columns = np.stack([above[s, c, :, m] for s, c, m in cells], axis=-1)
    rows = differences.paired([quantity] * len(cells), np.zeros_like(columns), columns, SAME)
    return [
        {"scale": SCALES[s], "condition": NAMES[c], "step": steps[m], **row}
        for (s, c, m), row in zip(cells, rows, strict=True)
    ]


def summarise(found: Found) -> dict[str, Any]:
    """Differences from the law of distance and from none, values by seed, mean profiles."""
    steps, values, beyond = found.steps, found.looks.numbers, found.stretched.numbers
    last = max(int(name[-1]) for name in values if name.startswith("|w|"))
    unscaled, rates, l2 = SCALES.index(1.0), [1, 2, 3], [len(NAMES) - 1]
    others = [s for s in range(len(SCALES)) if s != unscaled]
    first, output, units = "|w|, layer 0", f"|w|, layer {last}", f"contributions, layer {last - 1}"
    above = {name: above_law(name, values, beyond) for name in (first, output, units)}
    ends = {}
    for name in (output, units):
        at_end = above[name][:, NAMES.index("dropout .5"), :, -1]
        ends[name] = [
            {"scale": scale, **differences.over_seeds(by_seed[np.isfinite(by_seed)])}
            for scale, by_seed in zip(SCALES, at_end, strict=True)
            if np.isfinite(by_seed).sum() > 1
        ]
    change = values[units][unscaled, NAMES.index("dropout .5")] - values[units][unscaled, 0]
    epoch = steps.index(found.an_epoch)
    return {
        "n_seeds": int(change.shape[0]),
        "steps": list(steps),
        "C1": family(first, above[first], [unscaled], rates, steps),
        "C2": family(first, above[first], others, rates, steps),
        "C5": family(first, above[first], [unscaled], l2, steps),
        "above the law at the end, dropout .5": ends,
        "difference after one epoch minus half of that at the end": differences.over_seeds(
            change[:, epoch] - change[:, -1] / 2
        ),
    }


def values_of(found: Found) -> dict[str, Any]:
    """What figures and the page show: numbers by seed, means of what was stretched, of profiles."""
    stretched = found.stretched.numbers
    return {
        "numbers": found.looks.numbers,
        "stretched none": {name: values[:, 0].mean(axis=1) for name, values in stretched.items()},
        "profiles": {name: values.mean(axis=2) for name, values in found.looks.profiles.items()},
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    judged = []
    for name, conditions in (("C1", "rates"), ("C2", "rates, other scales"), ("C5", "open: L2")):
        rows = summary[name]
        held = bool(rows) and all(judging.shown(row, "negligible") for row in rows)
        largest = max(rows, key=lambda row: abs(row["difference"]), default=None)
        evidence = Counter(row["verdict"] for row in rows)
        claim = f"{conditions}: Gini of |w|, layer 0, within {SAME:g} of the law at every moment"
        judged.append(judging.judged(name, claim, held, {"moments": evidence, "largest": largest}))
    end_rows = summary["above the law at the end, dropout .5"]
    for name, (quantity, rows) in zip(("C3", "C4"), end_rows.items(), strict=True):
        claim = f"{quantity}: lower than the law by more than {LOWER:g} at the end, every scale"
        held = len(rows) == len(SCALES) and all(row["ci_high"] < -LOWER for row in rows)
        judged.append(judging.judged(name, claim, held, rows))
    row = summary["difference after one epoch minus half of that at the end"]
    claim = "after one epoch the contributions differ by at least half of what they do at the end"
    judged.append(judging.judged("C6", claim, row["ci_high"] < 0, row))
    return judged


def figures(summary: dict[str, Any], values: dict[str, Any]) -> dict[str, Figure]:
    """The figures, from a record."""
    numbers, steps = values["numbers"], np.array(summary["steps"])
    return {
        "distance": plot_distance(numbers, values["stretched none"]),
        "course": plot_course(numbers, steps),
    }


@mpl.rc_context(style.STYLE)
def plot_distance(values: Values, stretched: Values) -> Figure:
    """Gini against distance: a row for each quantity, a column for each initial scale."""
    last = max(int(name[-1]) for name in values if name.startswith("|w|"))
    quantities = ("|w|, layer 0", f"|w|, layer {last}", f"contributions, layer {last - 1}")
    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    grid = figure.subplots(len(quantities), len(SCALES), sharey="row")
    numbers = list(style.condition_numbers(NAMES).values())
    for row, quantity in zip(grid, quantities, strict=True):
        for s, axes in enumerate(row):
            distance = values[f"distance, layer {quantity[-1]}"][s].mean(axis=1)[:, 1:]
            gini = values[quantity][s].mean(axis=1)[:, 1:]
            for c, x, y in zip(numbers, distance, gini, strict=True):
                axes.plot(x, y, color=style.colour(c), ls=style.line(c), lw=1.3)
                axes.plot(x[-1], y[-1], style.marker(c), color=style.colour(c), ms=4)
            x = np.append(distance[0, -1], stretched[f"distance, layer {quantity[-1]}"][s])
            y = np.append(gini[0, -1], stretched[quantity][s])
            axes.plot(x, y, color="black", ls=":", lw=1)
            axes.set_xscale("log")
            axes.set_xlim(distance.min() / 1.1, 1.5 * distance.max())
        row[0].set_ylabel(f"Gini of {quantity}")
    for scale, axes in zip(SCALES, grid[0], strict=True):
        axes.set_title(f"initial kernels × {scale:g}")
    for axes in grid[-1]:
        axes.set_xlabel("distance ‖w − w₀‖ / ‖w₀‖")
    stretched_line = Line2D([], [], color="black", ls=":", label="none's last change, stretched")
    handles = [*style.legend(NAMES), stretched_line]
    figure.legend(handles=handles, loc="outside lower center", ncols=6)
    n_seeds = values["train loss"].shape[2]
    figure.suptitle(f"Gini against distance along training: means over {n_seeds} seeds", size=10)
    return figure


@mpl.rc_context(style.STYLE)
def plot_course(values: Values, steps: np.ndarray) -> Figure:
    """Differences from none along training at the usual initial scale, with 95 % intervals."""
    scale, (_, *numbers) = SCALES.index(1.0), style.condition_numbers(NAMES).values()
    quantities = [name for name in values if name[0] in "|c"]
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    grid = figure.subplots(2, 3, sharex=True).ravel()
    for axes, quantity in zip(grid, quantities, strict=False):
        from_none = values[quantity][scale, 1:] - values[quantity][scale, 0]
        for c, difference in zip(numbers, from_none, strict=True):
            _draw_interval(axes, steps[1:], difference[:, 1:], c)
        axes.axhline(0, color="black", lw=0.8)
        axes.set(title=quantity, xscale="log")
    for axes in grid[len(quantities) :]:
        axes.set_axis_off()
    figure.supxlabel("step of training", size=9)
    figure.supylabel("difference in Gini from none (down: more uniform)", size=9)
    grid[-1].legend(handles=style.legend(NAMES)[1:], loc="center")
    n_seeds = values["train loss"].shape[2]
    figure.suptitle(f"Time course: mean and 95 % interval of {n_seeds} seeds", size=10)
    return figure


def _draw_interval(axes: Axes, x: np.ndarray, values: np.ndarray, c: int) -> None:
    """Draw means of values [S, len(x)] with their intervals as a band."""
    low, high = np.transpose([interval(column) for column in values.T])
    axes.fill_between(x, low, high, color=style.colour(c), alpha=0.3, lw=0)
    axes.plot(x, values.mean(axis=0), color=style.colour(c), ls=style.line(c), lw=1.3)


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    found = run(size)
    summary, values = summarise(found), values_of(found)
    settings = {**vars(size), "scales": SCALES, "stretches": STRETCHES, "l2": study.tuned_l2()}
    drawn = figures(summary, values)
    record.write(folder, settings, summary, judge(summary), drawn, start, values=values)
    page = course_page.page(summary, values, NAMES, SCALES)
    writers.write_text(folder / "time_course.html", page)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
