"""Do units act together less with dropout, when softmax or size of damage is taken out?

Question    Taking out two units often hurts more, or less, than both of them apart. In cross
            entropy that also shows the softmax, and it shrinks when single damages shrink. Do units
            interact less with dropout in logits, and at matched damage?
Predicted   K1 In the last hidden layer logits add up exactly in every condition, but for rounding.
            K2 Relative interaction in logits is lower with dropout in both layers below. K3 So is
            that in cross entropy at matched damage and fitted temperature. K4 With tuned L2 that in
            logits is higher, or negligibly different (margin .02), in both layers below the last.
            K5 With dropout the Gini of single effects on logits differs negligibly in every layer
            (.02). K6 Gaussian dropout has the signs of dropout in K2 and K3.
Judged      Interaction in logits is the mean over pairs and digits of ‖z_ij - z_i - z_j + z‖, over
            the mean of ‖z_i - z‖ over all units. For matched damage all units are shrunk by one
            factor instead of removed, so that the mean damage of 64 of them is that of the
            condition with the least, seed by seed and layer by layer; its interaction is in cross
            entropy. A family is one measure in all layers and conditions.
Command     python -m experiments.coadaptation [--quick]
Time        half an hour on two CPU cores, beside other work

Scientific  none, dropout .5, tuned L2, max-norm, Gaussian dropout
Nuisance    the bound of max-norm and the L2 coefficient: least validation loss, on seeds and a
            split of their own
Fixed       784-256-256-256-10, else as in the main study; 30 seeds; 250 test digits to measure, the
            other 750 to fit temperatures; 200 pairs a layer
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import gaussian_dropout
from dropout_jax.populations.devices import map_members
from dropout_jax.runs import drawing, style
from experiments.shared import command, differences, judging, record, study
from experiments.shared.pairs import MATCHED, MEASURES, at_matched_damage, examination, together
from experiments.shared.regularisers import train

RESULTS = study.RESULTS / "coadaptation"
ROUNDING = 1e-4  # of interaction in logits over single effects
MARGIN = 0.02
IN_LOGITS = "relative interaction in logits"
MARGINS = {  # of what is compared; the others have none
    IN_LOGITS: MARGIN,
    "Gini of effects on logits": MARGIN,
    "Gini of damages": MARGIN,
    "effective share, logits": MARGIN,
    "effective share, nats": MARGIN,
}


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    features: tuple[int, ...] = (256, 256, 256)
    seeds: int = 30


QUICK = Size("digits", (16, 16, 16), epochs=2, seeds=6)


def run(size: Size) -> tuple[dict[str, Any], dict[str, Any]]:
    """{condition: {measure: [S, L]}}, and how the conditions were set."""
    data = load_dataset(size.dataset)
    model = MLP((*size.features, data.n_classes))
    noisy = {"Gaussian dropout": model.clone(noise=gaussian_dropout)}
    names, params, conditions = train(model, noisy, size, data)
    examined = examination(data, size.features)
    layer_values = map_members(together, (model,), (params,), examined)
    measured = {
        name: np.stack([values[name] for values in layer_values], axis=-1) for name in MEASURES
    }
    least = np.broadcast_to(measured["mean damage"].min(axis=0), measured["mean damage"].shape)
    measured |= map_members(at_matched_damage, (model,), (params, least), examined)
    return differences.by_condition(names, measured), conditions


def summarise(values: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Means and sd of every measure and layer, and comparisons with none, measure by measure."""
    n_seeds, n_layers = values["none"][MATCHED].shape
    return {
        "n_seeds": n_seeds,
        "conditions": {
            name: [
                {
                    "layer": l,
                    **{
                        measure: differences.mean_and_sd(v[:, l]) for measure, v in measures.items()
                    },
                }
                for l in range(n_layers)
            ]
            for name, measures in values.items()
        },
        "largest interaction in logits, last hidden layer": {
            name: float(measures[IN_LOGITS][:, -1].max()) for name, measures in values.items()
        },
        "comparisons": differences.paired_layers(values, values["none"], MARGINS),
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held."""
    rows = {(r["condition"], r["layer"], r["quantity"]): r for r in summary["comparisons"]}
    n_layers = 1 + max(layer for _, layer, _ in rows)
    rounding = summary["largest interaction in logits, last hidden layer"]
    claim = "in the last hidden layer logits add up, but for rounding"
    judged = [judging.judged("K1", claim, max(rounding.values()) < ROUNDING, rounding)]
    parts = (("K2", "dropout", IN_LOGITS), ("K3", "dropout", MATCHED))
    parts += (("K6", "Gaussian dropout", IN_LOGITS), ("K6", "Gaussian dropout", MATCHED))
    for prediction, condition, measure in parts:
        for l in range(n_layers - 1):
            claim = f"{measure}, layer {l}, is lower with {condition}"
            row = rows[condition, l, measure]
            judged.append(judging.judged_by_verdict(prediction, claim, row, "lower"))
    for l in range(n_layers - 1):
        claim = f"{IN_LOGITS}, layer {l}, is higher or negligibly different with L2"
        row = rows["L2", l, IN_LOGITS]
        judged.append(judging.judged_by_verdict("K4", claim, row, "higher", "negligible"))
    for l in range(n_layers):
        claim = f"Gini of effects on logits, layer {l}, differs negligibly with dropout"
        row = rows["dropout", l, "Gini of effects on logits"]
        judged.append(judging.judged_by_verdict("K5", claim, row, "negligible"))
    return judged


@mpl.rc_context(style.STYLE)
def figures(values: dict[str, dict[str, np.ndarray]]) -> dict[str, Figure]:
    """Every measure of every layer: all seeds as points, their mean as a line."""
    shown = [IN_LOGITS, "relative interaction in nats", MATCHED]
    shown += ["Gini of effects on logits", "Gini of damages", "effective share, nats"]
    n_seeds, n_layers = values["none"][MATCHED].shape
    figure = Figure(figsize=(8, 1.35 * len(shown) + 1), layout="constrained")
    grid = figure.subplots(len(shown), n_layers, sharex=True, sharey="row")
    for row, measure in zip(grid, shown, strict=True):
        for l, axes in enumerate(row):
            drawing.draw_points(
                axes, list(values), [measures[measure][:, l] for measures in values.values()]
            )
        row[0].set_ylim(bottom=0)
        label = measure.replace(", ", ",\n").replace("interaction in", "interaction\nin")
        row[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for l, axes in enumerate(grid[0]):
        axes.set_title(f"hidden layer {l}")
    figure.suptitle(f"How units act together: {n_seeds} seeds, line: mean", size=10)
    return {"measures": figure}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values, conditions = run(size)
    summary, settings = summarise(values), {**vars(size), **conditions}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
