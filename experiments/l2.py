"""Is dropout an L2 penalty? The two compared at equal footing, matched in three ways.

Question    A lecture: dropout spreads the weights, "a similar effect as the L2 norm". Where do the
            two agree, and what is left of the difference once neither is stronger?
Predicted   P2 Contributions and path norms of units do not become more uniform under L2, at the
            coefficient of least validation loss. Own: N1 However the two are matched, contributions
            of both hidden layers are more uniform with dropout than under L2, and N2 the pairs of
            units interact less. N3 In linear regression on features of equal scale networks trained
            with dropout end at the weights of those under L2, within 2 %; on features of different
            scale at least 20 % apart. N4 Either ends within 2 % of its closed form.
Judged      A family is all pairs and quantities.
Command     python -m experiments.l2 [--quick]
Time        about four minutes on two CPU cores

Scientific  none, tuned L2, dropout .5; dropout at the rate that has the validation error of tuned
            L2; dropout .5 beside an L2 penalty with which the weights have the norm of those under
            tuned L2. A pilot on the seeds of tuning showed that the last two cannot be turned
            round: no coefficient errs as little as dropout, and dropout's weights are larger than
            those of no regulariser
Nuisance    coefficients and rates tried, on seeds and (but for the norm) a split of their own
Fixed       as in the main study, reliance as in `reliance`. Regression: 200 examples of 8 features
            that matter alike, standard deviations 1, or 1 … .1; rate .5, and L2 of the same mean
            penalty; all 200 a step, weights averaged over the second half of the steps
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis.members import measure_population
from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import Population, fit_population
from dropout_jax.runs import drawing, style
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, differences, judging, record, regression, study
from experiments.shared.removal import examination, reliance

RESULTS = study.RESULTS / "l2"
RATE = 0.5
LOWER_RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
COEFFICIENTS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3)  # beside dropout
PAIRS = (  # baseline and condition
    ("none", "dropout"),
    ("none", "L2"),
    ("L2", "dropout"),
    ("L2", "dropout, equal error"),
    ("L2", "dropout, equal norm"),
)
RELIANCE = ("largest damage", "relative pair interaction")
NEAR, FAR = 0.02, 0.2  # of the norm
Quantities = dict[str, np.ndarray]  # {quantity: [C, S]}, or [S] of a condition


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    tuning_seeds: int = 6
    steps: int = 30_000  # of the regression


QUICK = Size("digits", (16, 16), epochs=2, seeds=3, tuning_seeds=2, steps=100)


def norms(params: Params) -> np.ndarray:
    """Euclidean norms [..., L] of the kernels."""
    kernels = [layer["kernel"] for layer in layers(params)]
    return np.stack([np.sqrt(np.sum(np.square(k), axis=(-1, -2))) for k in kernels], axis=-1)


def match(config: Config, base: Hparams, l2: float, size: Size, data: Dataset) -> dict[str, Any]:
    """The rate with the validation error of tuned L2, and the L2 beside dropout with its norm."""

    def dropped(rate: float) -> Hparams:
        return base._replace(rates=study.layer_rates(rate, len(size.features)))

    tuned = base._replace(weight_decay=l2)
    candidates = [tuned, dropped(RATE), *map(dropped, LOWER_RATES)]
    error = study.tune(config, candidates, size.tuning_seeds, data).error
    candidates = [tuned, *(dropped(RATE)._replace(weight_decay=c) for c in COEFFICIENTS)]
    seeds = range(study.FIRST_TUNING_SEED, study.FIRST_TUNING_SEED + size.tuning_seeds)
    trained = fit_population(config, candidates, seeds, study.root_key(), data)
    norm = np.linalg.norm(norms(trained.params), axis=-1).mean(axis=1)
    # The norm falls with the coefficient; np.interp wants what rises.
    log_coefficient = np.interp(norm[0], norm[:0:-1], np.log(COEFFICIENTS)[::-1])
    return {
        "l2": l2,
        "rate_of_equal_error": LOWER_RATES[int(np.abs(error[2:] - error[0]).argmin())],
        "l2_of_equal_norm": float(np.exp(log_coefficient)),
        "validation_error": {"L2": float(error[0]), "dropout": float(error[1])},
        "lower_rates": {"rate": LOWER_RATES, "validation_error": error[2:].tolist()},
        "beside_dropout": {"l2": COEFFICIENTS, "norm": norm[1:].tolist(), "aim": float(norm[0])},
    }


def measure(model: MLP, trained: Population, data: Dataset, size: Size) -> Quantities:
    """Error, norms, uniformity and reliance of every member."""
    layer_norms = norms(trained.params)
    measured = {"test error, %": 100 * np.asarray(trained.curve.test.error)[..., -1]}
    measured["norm of all weights"] = np.linalg.norm(layer_norms, axis=-1)
    measured |= {f"norm, layer {l}": layer_norms[..., l] for l in range(layer_norms.shape[-1])}
    values = measure_population(model, trained, data.x_train).values
    views = {"entries": "|w|", "contribution": "contributions", "path_norm": "path norms"}
    measured |= {
        f"Gini of {name}, layer {l}": np.asarray(layer_values[view]["gini"])
        for view, name in views.items()
        for l, layer_values in values.items()
        if view in layer_values
    }
    examined = examination(data, size.features)
    relied_on = map_members(reliance, (model,), (trained.params,), examined)
    for name in RELIANCE:
        measured |= {
            f"{name}, layer {l}": layer_values[name] for l, layer_values in enumerate(relied_on)
        }
    return measured


def run(size: Size) -> tuple[dict[str, Quantities], dict[str, Any]]:
    """What was measured by condition, and how conditions were matched."""
    data = load_dataset(size.dataset)
    model, n_hidden = MLP((*size.features, data.n_classes)), len(size.features)
    config, none = Config(model, epochs=size.epochs), Hparams(study.layer_rates(0.0, n_hidden))
    matched = match(config, none, study.tuned_l2(), size, data)
    half = none._replace(rates=study.layer_rates(RATE, n_hidden))
    lower = study.layer_rates(matched["rate_of_equal_error"], n_hidden)
    conditions = {
        "none": none,
        "L2": none._replace(weight_decay=matched["l2"]),
        "dropout": half,
        "dropout, equal error": none._replace(rates=lower),
        "dropout, equal norm": half._replace(weight_decay=matched["l2_of_equal_norm"]),
    }
    members = list(conditions.values()), range(size.seeds), study.root_key()
    trained = fit_population(config, *members, data)
    return differences.by_condition(conditions, measure(model, trained, data, size)), matched


def apart(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Relative distances ‖one - other‖ / ‖other‖ over seeds: mean and interval."""
    far = np.linalg.norm(one - other, axis=-1) / np.linalg.norm(other, axis=-1)
    return differences.over_seeds(far)


def summarise(values: dict[str, Any]) -> dict[str, Any]:
    """Means and sd, the paired comparisons, and how far apart the regressions end."""
    matched, names = values["matched"], list(values["matched"]["none"])
    columns = {name: np.stack(list(of.values()), axis=-1) for name, of in matched.items()}
    margins = [MARGINS["gini"] if name.startswith("Gini") else np.nan for name in names]
    return {
        "n_seeds": len(columns["none"]),
        "conditions": {
            name: {quantity: differences.mean_and_sd(v) for quantity, v in of.items()}
            for name, of in matched.items()
        },
        "comparisons": differences.paired_conditions(PAIRS, names, columns, margins),
        "regression": {
            scales: {
                "dropout from L2": apart(w["dropout"], w["L2"]),
                "dropout from its closed form": apart(w["dropout"], w["dropout, closed form"]),
                "L2 from its closed form": apart(w["L2"], w["L2, closed form"]),
            }
            for scales, w in values["regression"].items()
        },
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held."""
    rows = {(r["baseline"], r["condition"], r["quantity"]): r for r in summary["comparisons"]}
    hidden = sorted({q[-1] for _, _, q in rows if q.startswith("Gini of contributions")})
    judged = []
    for quantity in (f"{v}, layer {l}" for v in ("contributions", "path norms") for l in hidden):
        row = rows["none", "L2", f"Gini of {quantity}"]
        claim = f"{quantity}, do not become more uniform under L2"
        judged.append(judging.judged_by_verdict("P2", claim, row, "higher", "negligible"))
    parts = {"N1": "Gini of contributions", "N2": "relative pair interaction"}
    for prediction, quantity in parts.items():
        for baseline, condition in PAIRS[2:]:
            for l in hidden:
                row = rows[baseline, condition, f"{quantity}, layer {l}"]
                claim = f"{quantity}, layer {l}, is lower with {condition} than under L2"
                judged.append(judging.judged_by_verdict(prediction, claim, row, "lower"))
    (equal, equal_distances), (different, different_distances) = summary["regression"].items()
    far, near = different_distances["dropout from L2"], equal_distances["dropout from L2"]
    claim = f"features of {equal}: dropout and L2 end within 2 %"
    judged.append(judging.judged("N3", claim, near["ci_high"] < NEAR, near))
    claim = f"features of {different}: dropout and L2 end at least 20 % apart"
    judged.append(judging.judged("N3", claim, far["ci_low"] > FAR, far))
    for scales, distances in summary["regression"].items():
        for which in ("dropout", "L2"):
            row = distances[f"{which} from its closed form"]
            claim = f"features of {scales}: {which} ends within 2 % of its closed form"
            judged.append(judging.judged("N4", claim, row["ci_high"] < NEAR, row))
    return judged


def figures(values: dict[str, Any]) -> dict[str, Figure]:
    """What was matched, and where regressions end."""
    return {
        "matched": plot_matched(values["matched"]),
        "regression": regression.plot(values["regression"]),
    }


@mpl.rc_context(style.STYLE)
def plot_matched(conditions: dict[str, Quantities]) -> Figure:
    """Every quantity under every condition: all seeds as points, their mean as a line."""
    names = list(conditions)
    quantities = {
        q: np.stack([conditions[name][q] for name in names]) for q in conditions[names[0]]
    }
    figure = Figure(figsize=(9.6, 9.6), layout="constrained")
    n_columns = 4
    grid = figure.subplots(-(-len(quantities) // n_columns), n_columns, sharex=True)
    for axes, (quantity, values) in zip(grid.ravel(), quantities.items(), strict=False):
        drawing.draw_points(axes, names, values)
        axes.set_title(quantity.replace(", layer", "\nlayer"))
        axes.set_ylim(bottom=0)
    for axes in grid.ravel()[len(quantities) :]:
        axes.set_axis_off()
    n_seeds = quantities["test error, %"].shape[1]
    figure.suptitle(f"Dropout and L2, matched: {n_seeds} seeds, line: mean", size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    by_condition, matched = run(size)
    values = {"matched": by_condition, "regression": regression.run(size.seeds, size.steps)}
    summary, settings = summarise(values), {**vars(size), "rate": RATE, **matched}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
