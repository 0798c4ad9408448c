"""Does dropout keep a network from relying on single units, and on pairs that need each other?

Question    A lecture: with dropout the network "can't rely on one neuron too heavily", its units
            cannot co-adapt. Is that so when units are taken out of trained networks?
Predicted   P4 With dropout the largest damage that a single unit does, and the interaction of pairs
            relative to single damages, fall. P5 The error against the share of units taken out
            stays flat up to about the trained rate: at half of the units it is less than twice what
            it is with all. P6 The mean activation falls. L2, tuned, does not lower P4's two.
Judged      A family is one measure in all layers and conditions. An interaction is in cross
            entropy: in the last hidden layer, whose units add up in the logits, it shows the
            softmax; and it shrinks relative to single damages when these shrink. `coadaptation`
            takes out either, not both at once. P5 goes by means over seeds.
Command     python -m experiments.reliance [--quick]
Time        about two and a half minutes on two CPU cores

Scientific  none, dropout .5, tuned L2, max-norm, Gaussian dropout, DropConnect
Nuisance    the bound of max-norm: least validation loss, on seeds and a split of its own
Fixed       as in the main study; what is taken out is measured on 500 test digits, in nats; all
            pairs of a layer with at most 500, else 500 drawn once for all; 5 random orders
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import drop_connect, gaussian_dropout
from dropout_jax.populations.devices import map_members
from dropout_jax.runs import drawing, style
from experiments.shared import command, differences, judging, record, study
from experiments.shared.regularisers import RATE, train
from experiments.shared.removal import FRACTIONS, MEASURES, examination, reliance
from experiments.shared.study import QUICK, Size

RESULTS = study.RESULTS / "reliance"
MARGINS = {  # of what is a share or an index; the others have none
    "Gini of damages": 0.02,
    "effective share of units": 0.02,
    "relative pair interaction": 0.02,
    "area under the error curve": 0.01,
    "correlation of activations": 0.02,
    "cosine of incoming": 0.02,
    "silent share": 0.02,
}
Values = dict[str, dict[str, np.ndarray]]


def run(size: Size) -> tuple[Values, dict[str, Any]]:
    """{condition: {measure: [S, L], "curve": [S, L, F]}}, and how the conditions were set."""
    data = load_dataset(size.dataset)
    model = MLP((*size.features, data.n_classes))
    noisy = {
        "Gaussian dropout": model.clone(noise=gaussian_dropout),
        "DropConnect": model.clone(noise=drop_connect, noise_on_kernels=True),
    }
    names, params, conditions = train(model, noisy, size, data, study.tuned_l2())
    layer_values = map_members(reliance, (model,), (params,), examination(data, size.features))
    measured = {
        name: np.stack([values[name] for values in layer_values], axis=2)
        for name in layer_values[0]
    }
    return differences.by_condition(names, measured), conditions


def summarise(values: Values) -> dict[str, Any]:
    """Means of every measure, comparisons with `none`, measure by measure, mean error curves."""
    n_seeds, n_layers = values["none"]["curve"].shape[:2]
    return {
        "n_seeds": n_seeds,
        "fractions": FRACTIONS.tolist(),
        "conditions": {
            name: [
                {
                    "layer": l,
                    **{measure: float(measures[measure][:, l].mean()) for measure in MEASURES},
                    "error_curve": measures["curve"][:, l].mean(axis=0).tolist(),
                }
                for l in range(n_layers)
            ]
            for name, measures in values.items()
        },
        "comparisons": differences.paired_layers(values, MEASURES, MARGINS),
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held."""
    rows = {(r["condition"], r["layer"], r["quantity"]): r for r in summary["comparisons"]}
    judged = []
    for l in sorted({layer for _, layer, _ in rows}):
        for quantity in ("largest damage", "relative pair interaction"):
            row = rows["dropout", l, quantity]
            claim = f"{quantity} of layer {l} falls with dropout"
            judged.append(judging.judged_by_verdict("P4", claim, row, "lower"))
            row = rows["L2", l, quantity]
            claim = f"{quantity} of layer {l} does not fall with L2"
            judged.append(judging.judged_by_verdict("P4", claim, row, "higher", "negligible"))
        curve = summary["conditions"]["dropout"][l]["error_curve"]
        half = float(np.interp(RATE, summary["fractions"], curve))
        claim = f"with dropout, error without half of layer {l} is less than twice the error"
        judged.append(judging.judged("P5", claim, half < 2 * curve[0], [curve[0], half]))
        row = rows["dropout", l, "mean activation"]
        claim = f"the mean activation of layer {l} falls with dropout"
        judged.append(judging.judged_by_verdict("P6", claim, row, "lower"))
    return judged


def figures(values: Values) -> dict[str, Figure]:
    """The figures, from the values of a record."""
    return {"curves": plot_curves(values), "measures": plot_measures(values)}


@mpl.rc_context(style.STYLE)
def plot_curves(values: Values) -> Figure:
    """Error against the fraction of units taken out, mean and range over seeds."""
    n_seeds, n_layers = values["none"]["curve"].shape[:2]
    figure = Figure(figsize=(4 * n_layers, 3.6), layout="constrained")
    grid = figure.subplots(1, n_layers, sharey=True, squeeze=False)[0]
    for l, axes in enumerate(grid):
        curves = {name: 100 * measures["curve"][:, l] for name, measures in values.items()}
        drawing.draw_bands(axes, FRACTIONS, curves)
        axes.axvline(RATE, color=style.GREY, lw=0.8, ls=":")
        axes.set(title=f"units of layer {l}", xlabel="fraction taken out", xlim=(0, 1))
    grid[0].set(ylabel="test error, %", ylim=(0, 100))
    grid[0].legend(handles=style.legend(list(values)), loc="upper left")
    figure.suptitle(f"Units taken out in random order: mean and range over {n_seeds} seeds")
    return figure


@mpl.rc_context(style.STYLE)
def plot_measures(values: Values) -> Figure:
    """Every measure of every layer: all seeds as points, their mean as a line."""
    n_seeds, n_layers = values["none"]["curve"].shape[:2]
    figure = Figure(figsize=(7.2, 1.15 * len(MEASURES) + 0.8), layout="constrained")
    grid = figure.subplots(len(MEASURES), n_layers, squeeze=False, sharey="row", sharex=True)
    for row, (measure, unit) in zip(grid, MEASURES.items(), strict=True):
        for l, axes in enumerate(row):
            drawing.draw_points(
                axes, list(values), [measures[measure][:, l] for measures in values.values()]
            )
        row[0].set_ylim(bottom=0)
        words = measure.split()
        middle = (len(words) + 1) // 2
        label = " ".join(words[:middle]) + "\n" + " ".join(words[middle:])
        row[0].set_ylabel(
            label + (f", {unit}" if unit else ""), rotation=0, ha="right", va="center"
        )
    for l, axes in enumerate(grid[0]):
        axes.set_title(f"layer {l}")
    figure.suptitle(f"What units are relied on for: {n_seeds} seeds, line: mean", size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values, conditions = run(size)
    summary, settings = summarise(values), {**vars(size), **conditions}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
