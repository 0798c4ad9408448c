"""Does dropout spread contributions and not weights where the data are not digits?

Question    All other studies train on digits. Do the main findings hold for pictures of clothes,
            and for tables of numbers?
Predicted   S1 The Gini of contributions of the last hidden layer is lower with dropout in every
            data set. S2 So is that of |w| of the output layer. S3 That of |w| of the first layer is
            not lower with dropout in any (by .01). S4 That of contributions of the last hidden
            layer is not lower with tuned L2 in any (by .01).
Judged      The family is all data sets and both conditions, quantity by quantity. `Not lower` is an
            interval above -.01. Learning rates are tuned for each condition, so networks differ in
            distance from the start and training loss too; the record has both.
Seen        A first run had the tables alone, fewer epochs, four learning rates and three L2
            coefficients. All predictions held. One loss had not settled, and some choices were the
            smallest or largest tried; hence more of each here. Fashion-MNIST had not been tried,
            but for a run of this script at toy size.
Command     python -m experiments.second_domain --fashion-dir DIR [--quick]
            DIR holds the four IDX files of Fashion-MNIST; without DIR, tables alone are used.
Time        a quarter of an hour on two CPU cores, beside other work

Scientific  data (Fashion-MNIST, the first 4,000 pictures to train on, the first 1,000 to test
            on; breast cancer, 30 features, 2 classes; wine, 13 features, 3 classes; a problem like
            Madelon: 20,000 examples of 50 features, 10 of them informative, 4 classes, 3 clusters a
            class, 3 % of labels random); none, dropout .5 of hidden layers, tuned L2
Nuisance    learning rate, for each condition and data set, and the L2 coefficient: least validation
            loss, on 3 seeds and a split of their own
Fixed       256-256 ReLU, SGD with momentum .9; pixels in [0, 1], features of tables standardised by
            the training part; batch and epochs by data set, so many that the training loss should
            change by less than a hundredth of its first value in the last tenth; 10 seeds
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_wine, make_classification

from dropout_jax.analysis.members import measure_population
from dropout_jax.data import Dataset, split
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.populations.population import Population, fit_population
from dropout_jax.runs import drawing, style
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, differences, judging, record, study

RESULTS = study.RESULTS / "second_domain"
RATE, MARGIN, TUNING_SEEDS = 0.5, 0.01, 3
LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
L2_CANDIDATES = (1e-4, 1e-3, 1e-2, 3e-2)
NAMES = ("Fashion-MNIST", "breast cancer", "wine", "like Madelon")
LAST, OUTPUT, FIRST = (
    "Gini of contributions, last hidden layer",
    "Gini of |w|, output layer",
    "Gini of |w|, first layer",
)
Values = dict[str, dict[str, dict[str, np.ndarray]]]  # {data: {condition: {quantity: [S]}}}


class Domain(NamedTuple):
    """Data, and how to train on them."""

    data: Dataset
    batch_size: int
    epochs: int


@dataclass(frozen=True)
class Size:
    """How much to train; a Madelon-like problem of `made` examples; Fashion-MNIST from a folder."""

    features: tuple[int, ...] = (256, 256)
    seeds: int = 10
    fashion_dir: Path | None = None
    made: int = 20_000
    divide_epochs: int = 1


QUICK = Size((8, 8), seeds=6, made=200, divide_epochs=40)


def domains(size: Size) -> dict[str, Domain]:
    """The data sets by name."""
    madelon: Any = make_classification(
        size.made,
        n_features=50,
        n_informative=10,
        n_redundant=10,
        n_classes=4,
        n_clusters_per_class=3,
        flip_y=0.03,
        random_state=0,
    )
    cancer, wine = cast(Any, load_breast_cancer()), cast(Any, load_wine())
    found = [
        Domain(standardised(cancer.data, cancer.target), 32, 400),
        Domain(standardised(wine.data, wine.target), 16, 300),
        Domain(standardised(*madelon), min(128, size.made // 10), 120),
    ]
    if size.fashion_dir:
        found.insert(0, Domain(study.clothes(size.fashion_dir), 128, 100))
    return dict(zip(NAMES[-len(found) :], found, strict=True))


def standardised(x: np.ndarray, y: np.ndarray) -> Dataset:
    """A table with a fifth held out, and features scaled by mean and deviation of the others."""
    data = split(x.astype(np.float32), y.astype(np.int32), "a table")
    mean, sd = data.x_train.mean(axis=0), data.x_train.std(axis=0)
    scale = np.where(sd > 0, sd, 1)
    return data._replace(x_train=(data.x_train - mean) / scale, x_test=(data.x_test - mean) / scale)


def tune(config: Config, data: Dataset, n_hidden: int) -> tuple[dict[str, Hparams], dict[str, Any]]:
    """The conditions with the learning rate, and coefficient, of least validation loss."""
    none = Hparams(study.layer_rates(0.0, n_hidden))
    families = {
        "none": [none],
        "dropout": [none._replace(rates=study.layer_rates(RATE, n_hidden))],
        "L2": [none._replace(weight_decay=coefficient) for coefficient in L2_CANDIDATES],
    }
    chosen, tuning = {}, {}
    for name, family in families.items():
        candidates = [
            hparams._replace(learning_rate=rate)
            for hparams, rate in product(family, LEARNING_RATES)
        ]
        tuned = study.tune(config, candidates, TUNING_SEEDS, data)
        chosen[name] = tuned.best
        tuning[name] = {
            "learning_rate": tuned.best.learning_rate,
            "weight_decay": tuned.best.weight_decay,
            "validation_loss": tuned.loss.tolist(),
        }
    return chosen, tuning


def measure(config: Config, members: Population, data: Dataset) -> dict[str, np.ndarray]:
    """What is compared, and what else could have moved it: [C, S] each."""
    measured = measure_population(config.mlp, members, data.x_train).values
    last = len(config.model.features) - 1
    before, after = layers(members.init_params), layers(members.params)

    def distance(l: int) -> np.ndarray:
        w, w_0 = after[l]["kernel"], before[l]["kernel"]
        return np.linalg.norm(w - w_0, axis=(-2, -1)) / np.linalg.norm(w_0, axis=(-2, -1))

    loss = np.asarray(members.curve.train.loss)
    tenth = np.flatnonzero(members.epochs <= 0.9 * members.epochs[-1])[-1]
    results = {
        LAST: measured[last - 1]["contribution"]["gini"],
        OUTPUT: measured[last]["entries"]["gini"],
        FIRST: measured[0]["entries"]["gini"],
        "Gini of path norms, last hidden layer": measured[last - 1]["path_norm"]["gini"],
        "test error, %": differences.percent(members.curve.test.error[..., -1]),
        "train loss": loss[..., -1],
        "change of the train loss in the last tenth, of the first": np.abs(
            loss[..., -1] - loss[..., tenth]
        )
        / loss[..., 0],
        "distance, first layer": distance(0),
        "distance, output layer": distance(last),
    }
    return {name: np.asarray(values, np.float64) for name, values in results.items()}


def run(size: Size) -> tuple[Values, dict[str, Any]]:
    """Tune and train all conditions on every data set."""
    values, tuning = {}, {}
    for name, domain in domains(size).items():
        data = domain.data
        model = MLP((*size.features, data.n_classes))
        epochs = max(10, domain.epochs // size.divide_epochs)
        config = Config(model, epochs=epochs, batch_size=domain.batch_size)
        conditions, tuning[name] = tune(config, data, len(size.features))
        members = fit_population(
            config, list(conditions.values()), range(size.seeds), study.root_key(), data
        )
        values[name] = differences.by_condition(conditions, measure(config, members, data))
        print(name, flush=True)
    return values, tuning


def summarise(values: Values) -> dict[str, Any]:
    """Means and sd, and comparisons with none over all data sets, quantity by quantity."""
    data, quantities = list(values), list(next(iter(values.values()))["none"])
    pairs, comparisons = [("none", "dropout"), ("none", "L2")], []
    for quantity in quantities:
        columns = {
            condition: np.stack([values[name][condition][quantity] for name in data], axis=-1)
            for condition in ("none", "dropout", "L2")
        }
        margin = MARGIN if quantity.startswith("Gini") else np.nan
        for row in differences.paired_conditions(pairs, data, columns, margin):
            comparisons.append({"data": row.pop("quantity"), "quantity": quantity, **row})
    return {
        "n_seeds": len(values[data[0]]["none"][LAST]),
        "conditions": {
            name: {
                condition: {
                    quantity: differences.mean_and_sd(v) for quantity, v in by_quantity.items()
                }
                for condition, by_quantity in by_condition.items()
            }
            for name, by_condition in values.items()
        },
        "comparisons": comparisons,
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction in every data set, and whether it held; what was not trained has not."""
    rows = {(r["data"], r["condition"], r["quantity"]): r for r in summary["comparisons"]}
    judged = []
    for name, condition, quantity, lower in (
        ("S1", "dropout", LAST, True),
        ("S2", "dropout", OUTPUT, True),
        ("S3", "dropout", FIRST, False),
        ("S4", "L2", LAST, False),
    ):
        for data in NAMES:
            row = rows.get((data, condition, quantity), {"n": 0, "ci_low": np.nan, "verdict": ""})
            held = judging.shown(row, "lower") if lower else row["ci_low"] > -MARGIN
            claim = f"{data}: {quantity} is {'' if lower else 'not '}lower with {condition}"
            judged.append(judging.judged(name, claim, held, row))
    return judged


@mpl.rc_context(style.STYLE)
def figures(values: Values) -> dict[str, Figure]:
    """Every quantity in every data set: all seeds as points, their mean as a line."""
    shown = (LAST, OUTPUT, FIRST, "test error, %", "train loss", "distance, first layer")
    figure = Figure(figsize=(7.2, 1.4 * len(shown) + 0.8), layout="constrained")
    grid = figure.subplots(len(shown), len(values), sharex=True)
    for row, quantity in zip(grid, shown, strict=True):
        for axes, by_condition in zip(row, values.values(), strict=True):
            drawing.draw_points(
                axes, list(by_condition), [v[quantity] for v in by_condition.values()]
            )
            axes.set_ylim(0, 1.1 * max(v[quantity].max() for v in by_condition.values()) or 1)
        label = quantity.replace(", ", ",\n").replace("contributions", "contri-\nbutions")
        row[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axes, name in zip(grid[0], values, strict=True):
        axes.set_title(name)
    n_seeds = len(next(iter(values.values()))["none"][LAST])
    figure.suptitle(f"Data that are not digits: {n_seeds} seeds, line: mean", size=10)
    return {"domains": figure}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values, tuning = run(size)
    summary = summarise(values)
    settings = {**vars(size), "fashion_dir": bool(size.fashion_dir), "rate": RATE, "tuning": tuning}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("fashion_dir",))
