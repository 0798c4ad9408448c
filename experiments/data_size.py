"""With how much data does dropout help, and does the spread of the weights follow?

Question    Srivastava et al. (2014, §7.4): with few examples dropout gains nothing, with more it
            does, with very many less again. Is that so here, and are weights and contributions the
            more uniform the more it helps?
Predicted   After JMLR §7.4: D1 no gain in test error at the two smallest sizes. D2 The gain is
            largest in between: at the largest size it is smaller than at its largest. Own: D3
            contributions of the last hidden layer are more uniform with dropout at every size. D4
            The spread follows: over sizes, seed by seed, the gain and the fall of that Gini have a
            positive rank correlation.
Command     python -m experiments.data_size [--quick] [--data-dir DIR]
Time        about five minutes on two CPU cores

Scientific  rate of hidden units (0, .5); training examples: 100, 500, 1,000, 5,000, 10,000, 60,000
            of full MNIST if its folder is given, else up to the 4,000 of mnist5k
Nuisance    which examples: each seed draws its own, nested in size, the same in both conditions
Fixed       784-256-256-10 ReLU, SGD with momentum .9, learning rate .05; batch 100; 2,400 updates
            or 10 epochs, whichever is more; all test digits
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.stats import rankdata

from dropout_jax.analysis.paired import interval
from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.devices import map_members
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import evaluate
from dropout_jax.training.step import TrainState
from experiments.shared import study
from experiments.shared.members import QUANTITIES, fresh_members, measure, trained

RESULTS = study.RESULTS / "data_size"
RATE = 0.5
ORDER_SEED = 0  # of the examples that seeds draw
NAMES = {  # of what is measured, all but the error as Gini
    "error": "test error, %",
    **{
        (view, role): f"{role} {'|w|' if view == 'entries' else view.replace('_', ' ')}"
        for view, role in QUANTITIES
    },
}
ERROR_MARGIN = 0.1  # points
FOLLOWS = NAMES["contribution", "last"]


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; of `sizes` those that there are examples for, and all there are."""

    sizes: tuple[int, ...] = (100, 500, 1_000, 5_000, 10_000, 60_000)
    batch_size: int = 100
    updates: int = 2_400
    least_epochs: int = 10
    data_dir: Path | None = None


QUICK = Size("digits", (8, 8), seeds=3, sizes=(40, 200), batch_size=20, updates=20, least_epochs=1)


@partial(jax.jit, static_argnames="config")
def member(
    config: Config, hparams: Hparams, state: TrainState, rows: jax.Array, data: Dataset
) -> jax.Array:
    """Train a fresh member on these rows [n]: its test error in percent, then its Ginis [1 + Q]."""
    x, y = data.x_train[rows], data.y_train[rows]
    state = trained(config, hparams, state, x, y)
    error = evaluate(config, state.params, data.x_test, data.y_test).error
    ginis = measure(config.model, x, state.params)[:, 0]
    return jax.numpy.append(100 * error, ginis)


def run(size: Size) -> dict[int, np.ndarray]:
    """What was measured [C, S, 1 + Q], without and with dropout, by the number of examples."""
    data = load_dataset(size.dataset, size.data_dir)
    n_all, n_inputs = data.x_train.shape
    orders = np.random.default_rng(ORDER_SEED).permuted(
        np.tile(np.arange(n_all, dtype=np.int32), (size.seeds, 1)), axis=1
    )
    results = {}
    for n in sorted({min(n, n_all) for n in size.sizes}):
        epochs = max(size.least_epochs, -(-size.updates * size.batch_size // n))
        model = MLP((*size.features, data.n_classes))
        config = Config(model, epochs=epochs, batch_size=size.batch_size)
        members = fresh_members(config, (0.0, RATE), size.seeds, n_inputs)
        rows = np.stack([orders[:, :n]] * 2)
        results[n] = map_members(member, (config,), (*members, rows), data)
    return results


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors; 0 if one is constant."""
    ranks = [rankdata(of) - (len(of) + 1) / 2 for of in (one, other)]
    norm = np.prod([np.linalg.norm(of) for of in ranks])
    return float(ranks[0] @ ranks[1] / norm) if norm else 0.0


def summarise(results: dict[int, np.ndarray]) -> dict[str, Any]:
    """Means and sd by size, paired comparisons, and whether the spread follows the gain."""
    names = list(NAMES.values())
    falls = {n: dict(zip(names, (of[0] - of[1]).T, strict=True)) for n, of in results.items()}
    gains = np.stack([of[NAMES["error"]] for of in falls.values()])  # [sizes, S]
    best, spread = gains.mean(axis=1).argmax(), np.stack([of[FOLLOWS] for of in falls.values()])
    correlations = np.array(list(map(rank_correlation, gains.T, spread.T)))
    low, high = interval(gains[best] - gains[-1])
    return {
        "n_seeds": gains.shape[1],
        "sizes": [
            {
                "examples": n,
                **{
                    condition: {
                        name: {"mean": float(v.mean()), "sd": float(v.std(ddof=1))}
                        for name, v in zip(names, of[c].T, strict=True)
                    }
                    for c, condition in enumerate(("none", "dropout"))
                },
            }
            for n, of in results.items()
        ],
        "comparisons": [
            {"examples": n, **row}
            for n, of in results.items()
            for row in study.paired(
                names, of[0], of[1], [ERROR_MARGIN, *[MARGINS["gini"]] * len(of[0].T[1:])]
            )
        ],
        "largest_gain": {
            "examples": list(results)[best],
            "points_above_the_gain_with_all": float((gains[best] - gains[-1]).mean()),
            "ci_low": low,
            "ci_high": high,
        },
        "rank_correlation_of_gain_and_spread": study.over_seeds(correlations),
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    rows = {(row["examples"], row["quantity"]): row for row in summary["comparisons"]}
    sizes = [of["examples"] for of in summary["sizes"]]
    smallest = [rows[n, NAMES["error"]] for n in sizes[:2]]
    largest, follows = summary["largest_gain"], summary["rank_correlation_of_gain_and_spread"]
    units = [rows[n, FOLLOWS] for n in sizes]
    return [
        *(
            study.judged(
                "D1",
                f"no gain with the {which}",
                study.shown(row, "higher", "negligible"),
                row,
            )
            for which, row in zip(("fewest examples", "second fewest"), smallest, strict=True)
        ),
        study.judged(
            "D2", "the gain is smaller with all than at its largest", largest["ci_low"] > 0, largest
        ),
        study.judged(
            "D3",
            "contributions of the last hidden layer are more uniform at every size",
            all(study.shown(row, "lower") for row in units),
            units,
        ),
        study.judged("D4", "the spread follows the gain", follows["ci_low"] > 0, follows),
    ]


@mpl.rc_context(style.STYLE)
def plot(results: dict[int, np.ndarray]) -> Figure:
    """Error, the gain from dropout, and changes of the Gini, against the number of examples."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    error, gain, spread = figure.subplots(1, 3)
    sizes, values = np.array(list(results)), np.stack(list(results.values()))  # [sizes, C, S, K]
    style.draw_bands(error, sizes, values[..., 0].transpose(1, 2, 0))
    style.log_scale(error, (1, 2, 5))
    error.set(title="test error, %", ylabel="%")
    error.legend(handles=style.legend(["none", f"dropout {RATE:g}"]))
    changes = values[:, 1] - values[:, 0]
    _draw_intervals(gain, sizes, 0, -changes[..., 0], "")
    gain.set(title="gain from dropout", ylabel="points of test error")
    drawn = [k for k, name in enumerate(NAMES.values()) if "path" not in name and k]
    for c, k in enumerate(drawn):
        _draw_intervals(spread, sizes, c, changes[..., k], list(NAMES.values())[k])
    spread.set(title="change of the Gini (down: more uniform)")
    spread.legend(loc="upper left", bbox_to_anchor=(1, 1))
    for axes in (error, gain, spread):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=30)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("training examples")
    for axes in (gain, spread):
        axes.axhline(0, color="black", lw=0.8)
    n_seeds = values.shape[2]
    figure.suptitle(f"Mean and range, or 95 % interval, of {n_seeds} seeds", size=10)
    return figure


def _draw_intervals(axes: Axes, x: np.ndarray, c: int, values: np.ndarray, name: str) -> None:
    """Means of values [len(x), S] with their intervals, a little aside for each c."""
    low, high = np.transpose([interval(of) for of in values])
    mean = values.mean(axis=1)
    look = {"fmt": "os^Dv"[c] + "-", "ms": 4, "lw": 1, "color": style.COLOURS[c]}
    axes.errorbar(x * 1.05 ** (c - 2), mean, [mean - low, high - mean], **look, label=name)


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    results = run(size)
    summary = summarise(results)
    settings = {**asdict(size), "rate": RATE, "order_seed": ORDER_SEED}
    del settings["data_dir"], settings["epochs"]
    seconds = perf_counter() - start
    study.write(folder, settings, summary, judge(summary), {"sizes": plot(results)}, seconds)


if __name__ == "__main__":
    study.start(__doc__, main, RESULTS, Size(), QUICK, folders=("data_dir",))
