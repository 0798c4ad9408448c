"""Why is the last hidden layer less uniform with dropout under Adam in wide networks?

Question    In the multiverse, dropout spread contributions more often under SGD than under Adam;
            in wide networks under Adam they were less uniform. Is it the optimizer, its learning
            rate, or that networks of unequal training loss were compared?
Predicted   The Gini of contributions of the last hidden layer, dropout minus none, when the
            training loss first reaches .3, .1, .03, .01: A1 With SGD it is lower at every width and
            level that is reached. A2 With Adam at learning rate 1e-3 and width 1024 it is higher at
            level .01. A3 At width 1024 and level .1 the difference rises from learning rate 1e-4 to
            1e-3, with Adam and AdamW. A4 AdamW differs from Adam by less than .01 in every cell.
            A5 At equal loss the difference is lower than after equal epochs, Adam at 1e-3.
Judged      The loss is that without masks on the first 1,000 training digits. Values at a level are
            interpolated, linearly in the logarithm of the loss, between two looks; looks are a
            factor of 1.3 apart in steps. A cell is one optimizer, learning rate, width and level
            that six pairs of seeds reach; the others are left out. A5 takes level .01. Networks of
            equal loss still differ in distance from the start and in dead units, which the record
            has beside.
Seen        The predictions are from before any run. A first record had 8 of the 20 seeds at width
            1024, for their time; they are among the 20 of this one.
Command     python -m experiments.optimizers [--quick]
Time        an hour and three quarters on two CPU cores, beside other work

Scientific  optimizer (SGD with momentum .9 at .05, Adam, AdamW with weight decay 1e-4), learning
            rate of the latter two (1e-4, 3e-4, 1e-3), width of both hidden layers (64, 256, 1024),
            rate of hidden layers (0, .5)
Fixed       as in the main study, 30 epochs; 20 seeds
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from dropout_jax.analysis.statistics import is_negligible
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.devices import map_members
from dropout_jax.training.config import Config, Hparams, sgd
from experiments.shared import command, differences, judging, record, study
from experiments.shared.courses import at_level, course
from experiments.shared.members import paired_members
from experiments.shared.optimizers_figures import plot_levels
from experiments.shared.universes import N_FOLLOWED, adam

RESULTS = study.RESULTS / "optimizers"
RATE, MARGIN, LEAST_PAIRS = 0.5, 0.01, 6
LEVELS = (0.3, 0.1, 0.03, 0.01)
LOSS, GINI = "train loss", "contributions, last hidden layer"
NAMES = {  # and how `course` calls them
    GINI: "contributions, layer 1",
    "path norms, last hidden layer": "path norms, layer 1",
    "|w|, first layer": "|w|, layer 0",
    "|w|, output layer": "|w|, layer 2",
    "distance, first layer": "distance, layer 0",
    "distance, output layer": "distance, layer 2",
    LOSS: LOSS,
    "test error, %": "test error, %",
}


def adamw(hparams: Hparams) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) with the weight decay that optax has by default."""
    return optax.adamw(hparams.learning_rate, weight_decay=1e-4)


OPTIMIZERS: dict[str, tuple[Callable[[Hparams], optax.GradientTransformation], tuple[float, ...]]]
OPTIMIZERS = {
    "SGD": (sgd, (0.05,)),
    "Adam": (adam, (1e-4, 3e-4, 1e-3)),
    "AdamW": (adamw, (1e-4, 3e-4, 1e-3)),
}


@dataclass(frozen=True)
class Size:
    """How much to train."""

    dataset: str = "mnist5k"
    epochs: int = 30
    seeds: int = 20
    widths: tuple[int, ...] = (64, 256, 1024)


QUICK = Size("digits", epochs=8, seeds=6, widths=(8, 16))


class Setting(NamedTuple):
    """What a pair of conditions, none and dropout, has in common."""

    optimizer: str
    learning_rate: float
    width: int


def looks_at(n_steps: int) -> tuple[int, ...]:
    """Steps a factor of 1.3 apart, from the fourth to the last."""
    n = 1 + int(np.ceil(np.log(n_steps / 4) / np.log(1.3)))
    return tuple(np.unique(np.round(np.geomspace(4, n_steps, n)).astype(int)).tolist())


def train(name: str, width: int, size: Size, data: Dataset) -> dict[Setting, dict[str, np.ndarray]]:
    """Values [none and dropout, S, M] along training, for every learning rate of an optimizer."""
    make_optimizer, learning_rates = OPTIMIZERS[name]
    model = MLP((width, width, data.n_classes))
    config = Config(model, epochs=size.epochs, make_optimizer=make_optimizer)
    conditions = [
        Hparams(study.layer_rates(rate, 2), learning_rate)
        for learning_rate, rate in itertools.product(learning_rates, (0.0, RATE))
    ]
    members = (
        *paired_members(conditions, size.seeds),
        np.ones((len(conditions), size.seeds), np.float32),
    )
    steps = looks_at(size.epochs * (len(data.x_train) // config.batch_size))
    followed = min(N_FOLLOWED, len(data.x_train))
    numbers = map_members(numbers_of, (config, steps, followed), members, data)
    return {
        Setting(name, learning_rate, width): {
            new: numbers[old][2 * r : 2 * r + 2] for new, old in NAMES.items()
        }
        for r, learning_rate in enumerate(learning_rates)
    }


def numbers_of(
    config: Config,
    steps: tuple[int, ...],
    n: int,
    hparams: Hparams,
    key: Any,
    scale: Any,
    data: Any,
) -> dict[str, jax.Array]:
    """The numbers of `course`, without profiles."""
    return course(config, steps, (1.0,), hparams, key, scale, data, n)[0].numbers


def at_levels(loss: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values [..., M] when the loss [..., M] first falls to each level [levels, ...]."""
    levels = np.reshape(LEVELS, (-1, *[1] * (loss.ndim - 1)))
    return np.vectorize(at_level, signature="(m),(m),()->()")(loss, values, levels)


def compared(
    cells: list[tuple[dict[str, Any], np.ndarray, np.ndarray]], margin: float = np.nan
) -> list[dict[str, Any]]:
    """Comparisons of one family of cells (label, baseline [S], condition [S]) that six reach."""
    reached = [
        (label, baseline, condition)
        for label, baseline, condition in cells
        if np.isfinite(baseline - condition).sum() >= LEAST_PAIRS
    ]
    if not reached:
        return []
    labels, baselines, conditions = zip(*reached, strict=True)
    baseline, condition = (np.stack(columns, axis=-1) for columns in (baselines, conditions))
    rows = differences.paired([GINI] * len(labels), baseline, condition, margin)
    return [{**label, **row} for label, row in zip(labels, rows, strict=True)]


def summarise(results: dict[Setting, dict[str, np.ndarray]]) -> dict[str, Any]:
    """The families of the predictions, and what else differs at a level."""
    reached = {  # [levels, none and dropout, S]
        setting: {name: at_levels(values[LOSS], values[name]) for name in values if name != LOSS}
        for setting, values in results.items()
    }
    ginis = {
        (setting, level): both
        for setting, quantities in reached.items()
        for level, both in zip(LEVELS, quantities[GINI], strict=True)
    }
    changes = {cell: dropout - none for cell, (none, dropout) in ginis.items()}
    labels = {cell: {**cell[0]._asdict(), "level": cell[1]} for cell in ginis}
    cells = {cell: (labels[cell], none, dropout) for cell, (none, dropout) in ginis.items()}
    wide = max(setting.width for setting in results)
    learning_rates = []
    for name in ("Adam", "AdamW"):
        slow, fast = (changes[Setting(name, rate, wide), 0.1] for rate in (1e-4, 1e-3))
        learning_rates.append(({"optimizer": name, "width": wide, "level": 0.1}, slow, fast))
    weight_decay = [
        (labels[setting, level], change, changes[setting._replace(optimizer="AdamW"), level])
        for (setting, level), change in changes.items()
        if setting.optimizer == "Adam"
    ]
    ends = [
        (s._asdict(), values[GINI][1, :, -1] - values[GINI][0, :, -1], changes[s, LEVELS[-1]])
        for s, values in results.items()
        if (s.optimizer, s.learning_rate) == ("Adam", 1e-3)
    ]
    return {
        "A1": compared([cell for (s, _), cell in cells.items() if s.optimizer == "SGD"], MARGIN),
        "A2": compared(list(cells.values()), MARGIN),
        "A3": compared(learning_rates),
        "A4": compared(weight_decay, MARGIN),
        "A5": compared(ends),
        "beside": [
            {**labels[setting, level], "quantity": name, **pair_means(both[i])}
            for setting, quantities in reached.items()
            for i, level in enumerate(LEVELS)
            for name, both in quantities.items()
            if name != GINI
        ],
    }


def pair_means(both: np.ndarray) -> dict[str, Any]:
    """Means of none and dropout [2, S] over the pairs that reach a level, and how many do."""
    pairs = np.isfinite(both).all(axis=0)
    none, dropout = both[:, pairs].mean(axis=1).tolist() if pairs.any() else (None, None)
    return {"n": int(pairs.sum()), "none": none, "dropout": dropout}


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held; a claim about no cell does not hold."""
    by_verdict = judging.judged_by_verdict
    widest = max((row["width"] for row in summary["A2"]), default=0)
    reversed_ = [
        row
        for row in summary["A2"]
        if (row["optimizer"], row["learning_rate"]) == ("Adam", 1e-3)
        and (row["width"], row["level"]) == (widest, LEVELS[-1])
    ]
    verdicts = Counter(row["verdict"] for row in summary["A4"])
    return [
        by_verdict("A1", "SGD: lower at every width and level reached", summary["A1"], "lower"),
        by_verdict("A2", "Adam, 1e-3, the widest, level .01: higher", reversed_, "higher"),
        by_verdict(
            "A3", "the difference rises from 1e-4 to 1e-3 at level .1", summary["A3"], "higher"
        ),
        judging.judged(
            "A4",
            "AdamW differs from Adam negligibly in every cell",
            bool(verdicts) and all(map(is_negligible, verdicts)),
            verdicts,
        ),
        by_verdict("A5", "lower at loss .01 than after equal epochs", summary["A5"], "lower"),
    ]


def figures(summary: dict[str, Any]) -> dict[str, Figure]:
    """Differences with intervals against the level of loss."""
    rates = {name: rates for name, (_, rates) in OPTIMIZERS.items()}
    return {"levels": plot_levels(summary["A2"], rates, LEVELS)}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start, data = perf_counter(), load_dataset(size.dataset)
    results: dict[Setting, dict[str, np.ndarray]] = {}
    for name, width in itertools.product(OPTIMIZERS, size.widths):
        results |= train(name, width, size, data)
        print(name, width, f"{perf_counter() - start:.0f} s", flush=True)
    summary = summarise(results)
    settings = {**vars(size), "rate": RATE, "levels": LEVELS}
    values = {
        "-".join(map(str, setting)): {name: quantities[name] for name in (LOSS, GINI)}
        for setting, quantities in results.items()
    }
    record.write(folder, settings, summary, judge(summary), figures(summary), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
