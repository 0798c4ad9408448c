"""When to drop: early, late, growing, or always?

Question    Does it matter for test error and for the spread of contributions when in training units
            are dropped?
Predicted   T1 Early dropout, gone at half of the training, ends with a test error between none and
            constant dropout, or worse than both (Liu et al. 2023 find it helps networks that
            underfit; these overfit). T2 Late dropout, from half of the training on, gains at least
            half of what constant dropout gains. T3 A curriculum, whose rate grows, is within .3
            points of constant dropout. T4 Contributions in the last hidden layer become more
            uniform with every schedule, least with the early one.
Command     python -m experiments.rate_schedules [--quick]
Time        about two minutes on two CPU cores

Scientific  none; rate .5 on hidden layers constant, early, late, growing
Fixed       as in the main study; cutoff at half of the training; curriculum of speed 10
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax import plots, schedules
from dropout_jax.comparison import measure_population
from dropout_jax.data import load_dataset
from dropout_jax.networks import MLP
from dropout_jax.population import fit_population
from dropout_jax.training import Config, Hparams
from experiments import study
from experiments.study import QUICK, Size

RESULTS = study.RESULTS / "rate_schedules"
RATE = 0.5
SCHEDULES = {
    "constant": None,
    "early": schedules.early,
    "late": schedules.late,
    "curriculum": schedules.curriculum,
}


def run(size: Size) -> dict[str, dict[str, np.ndarray]]:
    """For every condition: test error in percent, along training, and Gini of contributions."""
    data = load_dataset(size.dataset)
    model, n_hidden = MLP((*size.features, data.n_classes)), len(size.features)
    off, on = (Hparams(rates=(0.0, *(rate,) * n_hidden)) for rate in (0.0, RATE))
    results = {}
    for name, schedule in SCHEDULES.items():
        config = Config(model, epochs=size.epochs, rate_schedule=schedule)
        conditions = {"none": off, name: on} if schedule is None else {name: on}
        trained = fit_population(
            config, list(conditions.values()), range(size.seeds), study.root_key(), data
        )
        values = measure_population(model, trained, data.x_train).values
        for c, condition in enumerate(conditions):
            results[condition] = {
                "epochs": trained.epochs,
                "test error, %": 100 * np.asarray(trained.curve.test.error)[c],
                **{
                    f"Gini of contributions, layer {l}": values[l]["contribution"]["gini"][c]
                    for l in range(n_hidden)
                },
            }
    return results


def summarise(results: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Means and sd at the end, and every schedule against none and against constant dropout."""
    quantities = [name for name in results["none"] if name != "epochs"]

    def last(condition: str) -> np.ndarray:
        values = [results[condition][name] for name in quantities]
        return np.stack([v[:, -1] if v.ndim == 2 else v for v in values], axis=-1)

    comparisons = [
        {"baseline": baseline, "condition": name, **row}
        for baseline in ("none", "constant")
        for name in results
        if name not in ("none", baseline)
        for row in study.paired(quantities, last(baseline), last(name))
    ]
    return {
        "n_seeds": len(last("none")),
        "conditions": {
            name: {
                quantity: {"mean": float(of.mean()), "sd": float(of.std(ddof=1))}
                for quantity, of in zip(quantities, last(name).T, strict=True)
            }
            for name in results
        },
        "comparisons": comparisons,
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    error = {name: c["test error, %"]["mean"] for name, c in summary["conditions"].items()}
    rows = {(r["baseline"], r["condition"], r["quantity"]): r for r in summary["comparisons"]}
    gini = max(name for _, _, name in rows if name.startswith("Gini"))
    falls = {name: rows["none", name, gini] for name in SCHEDULES}
    least = max(falls, key=lambda name: falls[name]["difference"])
    gains = {name: error["none"] - error[name] for name in SCHEDULES}
    curriculum = rows["constant", "curriculum", "test error, %"]
    return [
        study.judged(
            "T1",
            "early dropout ends no better than constant",
            gains["early"] <= gains["constant"],
            error,
        ),
        study.judged(
            "T2", "late dropout gains at least half", gains["late"] >= gains["constant"] / 2, error
        ),
        study.judged(
            "T3",
            "a curriculum is within .3 points of constant dropout",
            curriculum["ci_low"] > -0.3 and curriculum["ci_high"] < 0.3,
            curriculum,
        ),
        study.judged(
            "T4",
            "contributions of the last hidden layer are more uniform, least with early dropout",
            all(row["verdict"] == "lower" for row in falls.values()) and least == "early",
            falls,
        ),
    ]


@mpl.rc_context(plots.STYLE)
def plot(results: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Test error along training, and the spread of contributions at the end."""
    names = list(results)
    ginis = [name for name in results["none"] if name.startswith("Gini")]
    figure = Figure(figsize=(3.3 * (1 + len(ginis)), 3.3), layout="constrained")
    error, *panels = figure.subplots(1, 1 + len(ginis))
    errors = np.stack([results[name]["test error, %"] for name in names])
    plots.draw_bands(error, results["none"]["epochs"], errors)
    error.set(xlabel="epoch", ylabel="test error, %", ylim=(0, 3 * np.median(errors[..., -1])))
    error.legend(handles=plots.legend(names))
    for axes, name in zip(panels, ginis, strict=True):
        plots.draw_points(axes, names, [results[condition][name] for condition in names])
        axes.set_title(name)
    n_seeds = errors.shape[1]
    figure.suptitle(f"When to drop: mean and range, or points, of {n_seeds} seeds", size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    results = run(size)
    summary = summarise(results)
    figures = {"schedules": plot(results)}
    settings = {**size.__dict__, "rate": RATE}
    study.write(folder, settings, summary, judge(summary), figures, perf_counter() - start)


if __name__ == "__main__":
    study.start(__doc__, main, RESULTS, Size(), QUICK)
