"""When to drop: early, late, growing, or always?

Question    Does it matter for test error and for the spread of contributions when in training units
            are dropped?
Predicted   T1 Early dropout, gone at half of the training, ends with a test error between none and
            constant dropout, or worse than both (Liu et al. 2023 find it helps networks that
            underfit; these overfit). T2 Late dropout, from half of the training on, gains at least
            half of what constant dropout gains. T3 A curriculum, whose rate grows, is within .3
            points of constant dropout. T4 Contributions in the last hidden layer become more
            uniform with every schedule, least with the early one.
Judged      A claim holds if the 95 % interval over seeds supports it. An undecided claim counts as
            failed, and the evidence says `undecided`. T2 compares late dropout with the
            mean of none and constant dropout, seed by seed. A family is the
            quantities of one pair of conditions. Differences hold for these digits.
Command     python -m experiments.rate_schedules [--quick] [--test-dir DIR]
Time        about seven minutes on two CPU cores

Scientific  none; rate .5 on hidden layers constant, early, late, growing
Fixed       as in the main study; all 10,000 test digits of full MNIST if its folder is given, else
            the 1,000 of mnist5k; cutoff at half of the training (early falls linearly
            to it, late is constant from it on); curriculum of speed 10
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
from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.population import fit_population
from dropout_jax.runs import drawing, style
from dropout_jax.training import schedules
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, differences, judging, record, study

RESULTS = study.RESULTS / "rate_schedules"
RATE = 0.5
CONDITIONS = {
    "none": (0.0, None),
    "constant": (RATE, None),
    "early": (RATE, schedules.early),
    "late": (RATE, schedules.late),
    "curriculum": (RATE, schedules.curriculum),
}
ERROR = "test error, %"
ERROR_MARGIN = 0.1  # points


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    seeds: int = 40
    test_dir: Path | None = None


QUICK = Size("digits", (16, 16), epochs=2, seeds=3)


def run(size: Size) -> dict[str, dict[str, np.ndarray]]:
    """For every condition: test error in percent, along training, and Gini of contributions."""
    data = study.with_test_digits(load_dataset(size.dataset), size.test_dir)
    model, n_hidden = MLP((*size.features, data.n_classes)), len(size.features)
    results = {}
    for name, (rate, schedule) in CONDITIONS.items():
        config = Config(model, epochs=size.epochs, rate_schedule=schedule)
        hparams = Hparams(study.layer_rates(rate, n_hidden))
        trained = fit_population(config, [hparams], range(size.seeds), study.root_key(), data)
        values = measure_population(model, trained, data.x_train).values
        results[name] = {
            "epochs": trained.epochs,
            ERROR: differences.percent(trained.curve.test.error[0]),
        }
        for l in range(n_hidden):
            ginis = values[l]["contribution"]["gini"][0]
            results[name][f"Gini of contributions, layer {l}"] = np.asarray(ginis, np.float64)
    return results


def at_end(values: np.ndarray) -> np.ndarray:
    """The last of values along training [S, P]; what was measured at the end alone stays [S]."""
    return values.reshape(len(values), -1)[:, -1]


def summarise(values: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Means and sd at the end, and paired comparisons."""
    quantities = [name for name in values["none"] if name != "epochs"]

    def last(condition: str) -> np.ndarray:
        return np.stack([at_end(values[condition][name]) for name in quantities], axis=-1)

    margins = [ERROR_MARGIN if name == ERROR else MARGINS["gini"] for name in quantities]
    comparisons = [
        {"baseline": baseline, "condition": name, **row}
        for baseline in ("none", "constant", "early")
        for name in values
        if name not in ("none", baseline)
        for row in differences.paired(quantities, last(baseline), last(name), margins)
    ]
    halfway = (last("none") + last("constant")) / 2
    comparisons += [
        {"baseline": "halfway from none to constant", "condition": "late", **row}
        for row in differences.paired(quantities, halfway, last("late"), margins)
    ]
    return {
        "n_seeds": len(halfway),
        "conditions": {
            name: {
                quantity: differences.mean_and_sd(column)
                for quantity, column in zip(quantities, last(name).T, strict=True)
            }
            for name in values
        },
        "comparisons": comparisons,
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    rows = {(r["baseline"], r["condition"], r["quantity"]): r for r in summary["comparisons"]}
    halfway = rows["halfway from none to constant", "late", ERROR]
    gini = max(name for _, _, name in rows if name.startswith("Gini"))
    dropped = [name for name in CONDITIONS if name != "none"]
    falls = [rows["none", name, gini] for name in dropped]
    below_early = [rows["early", name, gini] for name in dropped if name != "early"]
    return [
        judging.judged_within(
            "T1",
            "early dropout ends no better than constant",
            [rows["constant", "early", ERROR]],
            low=0,
        ),
        judging.judged_within("T2", "late dropout gains at least half", [halfway], high=0),
        judging.judged_within(
            "T3",
            "a curriculum is within .3 points of constant dropout",
            [rows["constant", "curriculum", ERROR]],
            low=-0.3,
            high=0.3,
        ),
        judging.judged(
            "T4",
            "contributions of the last hidden layer are more uniform, least with early dropout",
            all(row["ci_high"] < 0 for row in falls + below_early),
            falls + below_early,
        ),
    ]


@mpl.rc_context(style.STYLE)
def figures(values: dict[str, dict[str, np.ndarray]]) -> dict[str, Figure]:
    """Test error along training, and at the end that and the spread of contributions."""
    names = list(values)
    quantities = [name for name in values["none"] if name != "epochs"]
    figure = Figure(figsize=(7.2, 6), layout="constrained")
    along, *panels = figure.subplots(2, 2).ravel()
    errors = {name: values[name][ERROR] for name in names}
    drawing.draw_bands(along, values["none"]["epochs"], errors)
    all_errors = np.stack(list(errors.values()))
    low, high = 0.9 * all_errors.min(), 2 * np.median(all_errors[..., -1])
    along.set(xlabel="epoch", title=ERROR, ylim=(low, high))
    along.legend(handles=style.legend(names))
    for axes, name in zip(panels, quantities, strict=True):
        drawing.draw_points(axes, names, [at_end(values[condition][name]) for condition in names])
        axes.set_title(f"{name}, at the end" if name == ERROR else name)
    n_seeds = all_errors.shape[1]
    figure.suptitle(f"When to drop: mean and range, or points, of {n_seeds} seeds", size=10)
    return {"schedules": figure}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values = run(size)
    summary = summarise(values)
    settings = {**vars(size), "rate": RATE, "test_dir": bool(size.test_dir)}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("test_dir",))
