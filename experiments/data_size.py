"""With how much data does dropout help, and does the spread of the weights follow?

Question    Srivastava et al. (2014, §7.4): with few examples dropout gains nothing, with more it
            does, with very many less again. Is that so here, and are weights and contributions the
            more uniform the more it helps?
Predicted   After JMLR §7.4: D1 no gain in test error at the two smallest sizes. D2 The gain is
            largest in between: at the largest size it is smaller than at its largest. Own: D3
            contributions of the last hidden layer are more uniform with dropout at every size. D4
            The spread follows: over sizes, seed by seed, the gain and the fall of that Gini have a
            positive rank correlation. D5 Trained to the plateau with tuned learning rates, dropout
            does not raise the error with all examples by more than .1 points. D6 And the gain is
            largest between 500 and 10,000 examples.
Judged      Families are the quantities of one size. D2 and D6 pick the size of the largest gain on
            the values that they compare. D6 holds if that gain lies in the range, and is above that
            of every size outside. D2, D4 and D6 go by their intervals. The record says how near the
            plateau is: the change of the test error in the second half of the training. Differences
            hold for these test digits.
Seen        D1 to D4 are from a first version, where all networks had one learning rate and the
            largest size 10 epochs. There dropout raised the error with all examples. A second
            version had 4,000 updates: with 5,000 and 10,000 examples the test error still fell by
            .2 to .8 points in their second half, and all predictions but D1 held. A third had
            learning rates from .01 on, and chose the smallest in 11 of 12 cells; D2, D3, D5 and D6
            held. It is the record. The run with two smaller rates is beside it, in `smaller_rates`.
Command     python -m experiments.data_size [--quick] [--data-dir DIR]
Time        three quarters of an hour on two CPU cores beside other work; then 25 minutes for five
            rates

Scientific  rate of hidden units (0, .5); training examples: 100, 500, 1,000, 5,000, 10,000, 60,000
            of full MNIST if its folder is given, else up to the 4,000 of mnist5k
Nuisance    learning rate, by size and condition: the one of three, and again of five, with the
            least mean loss on a sixth of the training images, of two seeds that are not compared
            and train on others; which examples: each seed draws its own, nested in size, the same
            in both conditions
Fixed       784-256-256-10 ReLU, SGD with momentum .9; batch 100; 200 epochs, but at
            least 4,000 updates and at most 24,000 (40 epochs of 60,000 examples); all test digits
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.devices import map_members
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.evaluation import evaluate
from dropout_jax.training.step import TrainState
from experiments.shared import command, differences, judging, record, study
from experiments.shared.data_size_figures import plot_sizes
from experiments.shared.members import QUANTITIES, fresh_members, measure, trained

RESULTS = study.RESULTS / "data_size"
RATE, CONDITIONS = 0.5, ("none", "dropout")
ORDER_SEED = 0  # of the examples that seeds draw
GRIDS = {  # of learning rates, by the folder of the record
    ".": (0.01, 0.03, 0.1),
    "smaller_rates": (0.001, 0.003, 0.01, 0.03, 0.1),
}
TUNING_SEEDS = 2
BETWEEN = (500, 10_000)  # where D6 has the largest gain
NAMES = {  # of what is measured, all but the error as Gini
    "error": "test error, %",
    **{
        (view, role): f"{role} {'|w|' if view == 'entries' else view.replace('_', ' ')}"
        for view, role in QUANTITIES
    },
}
ALSO = ("change of the test error in the second half, points", "test loss")
ERROR_MARGIN = 0.1  # points
FOLLOWS = NAMES["contribution", "last"]


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; of `sizes` those that there are examples for, and all there are."""

    sizes: tuple[int, ...] = (100, 500, 1_000, 5_000, 10_000, 60_000)
    batch_size: int = 100
    epochs: int = 200
    updates: tuple[int, int] = (4_000, 24_000)  # at least and at most
    data_dir: Path | None = None


QUICK = Size("digits", (8, 8), seeds=3, sizes=(40, 200), batch_size=20, epochs=2, updates=(10, 20))


@partial(jax.jit, static_argnames="config")
def member(
    config: Config, hparams: Hparams, state: TrainState, rows: jax.Array, data: Dataset
) -> jax.Array:
    """Train a fresh member on these rows [n]: `NAMES` and `ALSO` [K], errors as fractions."""
    x, y = data.x_train[rows], data.y_train[rows]
    half = replace(config, epochs=config.epochs // 2)
    halfway = trained(half, hparams, state, x, y)
    state = trained(half, hparams, halfway, x, y)
    before, after = (
        evaluate(config, snapshot.params, data.x_test, data.y_test) for snapshot in (halfway, state)
    )
    ginis = measure(config.mlp, x, state.params)[:, 0]
    also = jnp.stack([after.error - before.error, after.loss])
    return jnp.concatenate([after.error[None], ginis, also])


def run(
    size: Size, learning_rates: Sequence[float]
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """What was measured [C, S, K], and the learning rates chosen [C], by the number of examples."""
    data = load_dataset(size.dataset, size.data_dir)
    n_all, n_inputs = data.x_train.shape
    model = MLP((*size.features, data.n_classes))
    generator = np.random.default_rng(ORDER_SEED)

    def shuffled_rows(n_seeds: int, n: int) -> np.ndarray:
        rows = np.tile(np.arange(n, dtype=np.int32), (n_seeds, 1))
        return generator.permuted(rows, axis=1)

    def train(
        n: int, rates: np.ndarray, seeds: Sequence[int], rows: np.ndarray, data: Dataset
    ) -> np.ndarray:
        """Measure members [C, S] trained with rates [C, 2], of hidden units and of learning."""
        least, most = (-(-updates * size.batch_size // n) for updates in size.updates)
        epochs = min(max(size.epochs, least), most)
        config = Config(model, epochs=epochs + epochs % 2, batch_size=size.batch_size)
        members = fresh_members(config, rates[:, 0].tolist(), seeds, n_inputs, rates[:, 1].tolist())
        rows = np.stack([rows[:, :n]] * len(rates))
        measured = np.asarray(map_members(member, (config,), (*members, rows), data), np.float64)
        errors = [0, len(NAMES)]
        measured[..., errors] = differences.percent(measured[..., errors])
        return measured

    held_out = study.last_sixth_held_out(data)
    n_kept = len(held_out.x_train)
    rows, tuning_rows = shuffled_rows(size.seeds, n_all), shuffled_rows(TUNING_SEEDS, n_kept)
    candidates = np.array(list(product((0.0, RATE), learning_rates)))
    results, chosen = {}, {}
    for n in sorted({min(n, n_all) for n in size.sizes}):
        tuning = range(size.seeds, size.seeds + TUNING_SEEDS)
        tuned = train(min(n, n_kept), candidates, tuning, tuning_rows, held_out)
        losses = np.nan_to_num(tuned[..., -1].mean(axis=1), nan=np.inf).reshape(2, -1)
        best = candidates.reshape(*losses.shape, 2)[[0, 1], losses.argmin(axis=1)]
        chosen[str(n)] = best[:, 1].tolist()
        results[str(n)] = train(n, best, range(size.seeds), rows, data)
        print(n, best[:, 1], results[str(n)][..., 0].mean(axis=1).round(2), flush=True)
    return results, chosen


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors; 0 if one is constant."""
    ranks = [rankdata(vector) - (len(vector) + 1) / 2 for vector in (one, other)]
    norm = np.prod([np.linalg.norm(vector) for vector in ranks])
    return float(ranks[0] @ ranks[1] / norm) if norm else 0.0


def summarise(values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means and sd by size, paired comparisons, and whether the spread follows the gain."""
    by_size = {int(n): of_size for n, of_size in values.items()}
    compared, k = list(NAMES.values()), len(NAMES)
    names, margins = [*compared, *ALSO], [ERROR_MARGIN, *[MARGINS["gini"]] * (k - 1)]
    falls = np.stack([none - dropout for none, dropout in by_size.values()])  # [sizes, S, K]
    gains, spreads = (falls[..., names.index(name)] for name in (NAMES["error"], FOLLOWS))
    best = gains.mean(axis=1).argmax()
    correlations = np.array(list(map(rank_correlation, gains.T, spreads.T)))
    return {
        "n_seeds": gains.shape[1],
        "sizes": [
            {
                "examples": n,
                **{
                    condition: {
                        name: differences.mean_and_sd(v)
                        for name, v in zip(names, rows.T, strict=True)
                    }
                    for condition, rows in zip(CONDITIONS, of_size, strict=True)
                },
            }
            for n, of_size in by_size.items()
        ],
        "comparisons": [
            {"examples": n, **row}
            for n, of_size in by_size.items()
            for row in differences.paired(compared, of_size[0, :, :k], of_size[1, :, :k], margins)
        ],
        "largest_gain": {
            "examples": list(by_size)[best],
            "above_the_gain_with": [
                {"examples": n, **differences.over_seeds(gains[best] - gain)}
                for n, gain in zip(by_size, gains, strict=True)
                if n != list(by_size)[best]
            ],
        },
        "rank_correlation_of_gain_and_spread": differences.over_seeds(correlations),
        "second_half": [
            {"examples": n, "condition": name, **differences.over_seeds(rows[:, k])}
            for n, of_size in by_size.items()
            for name, rows in zip(CONDITIONS, of_size, strict=True)
        ],
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    rows = {(row["examples"], row["quantity"]): row for row in summary["comparisons"]}
    sizes = [row["examples"] for row in summary["sizes"]]
    smallest = [rows[n, NAMES["error"]] for n in sizes[:2]]
    best, follows = summary["largest_gain"], summary["rank_correlation_of_gain_and_spread"]
    above = {row["examples"]: row for row in best["above_the_gain_with"]}
    outside = [row for n, row in above.items() if not BETWEEN[0] <= n <= BETWEEN[1]]
    in_range = BETWEEN[0] <= best["examples"] <= BETWEEN[1]
    judged = [
        judging.judged_by_verdict("D1", f"no gain with the {which}", row, "higher", "negligible")
        for which, row in zip(("fewest examples", "second fewest"), smallest, strict=True)
    ]
    claim = "the gain is smaller with all than at its largest"
    held = sizes[-1] in above and above[sizes[-1]]["ci_low"] > 0
    judged.append(judging.judged("D2", claim, held, best))
    claim = "contributions of the last hidden layer are more uniform at every size"
    units = [rows[n, FOLLOWS] for n in sizes]
    judged.append(judging.judged_by_verdict("D3", claim, units, "lower"))
    claim = "the spread follows the gain"
    judged.append(judging.judged("D4", claim, follows["ci_low"] > 0, follows))
    claim = f"dropout does not raise the error with all examples by more than {ERROR_MARGIN:g}"
    with_all = [rows[sizes[-1], NAMES["error"]]]
    judged.append(judging.judged_within("D5", claim, with_all, high=ERROR_MARGIN))
    claim = f"the gain is largest between {BETWEEN[0]:,} and {BETWEEN[1]:,} examples"
    held = in_range and all(row["ci_low"] > 0 for row in outside)
    return [*judged, judging.judged("D6", claim, held, best)]


def figures(values: dict[str, np.ndarray]) -> dict[str, Figure]:
    """Error, gain and changes of the Gini, against the number of examples."""
    return {"sizes": plot_sizes(values, list(NAMES.values()), RATE)}


def main(folder: Path, size: Size) -> None:
    """Run the study with each grid, write the records and print the predictions as judged."""
    for name, learning_rates in GRIDS.items():
        start = perf_counter()
        values, chosen = run(size, learning_rates)
        settings = {"study": RESULTS.name, **asdict(size), "rate": RATE, "order_seed": ORDER_SEED}
        del settings["data_dir"]
        settings["learning_rates"] = chosen
        summary, drawn = summarise(values), figures(values)
        record.write(folder / name, settings, summary, judge(summary), drawn, start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("data_dir",))
