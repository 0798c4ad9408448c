"""Do the errors that the papers on dropout publish for MNIST come out here?

Question    Srivastava et al. (2014) and Hinton et al. (2012) give test errors on full MNIST for
            networks without and with dropout, max-norm and L2. Does this library come to the same,
            in the same order, at a budget that two cores can pay?
Predicted   J1 Every row with dropout within .15 points of the paper's. J2 The paper's orders: each
            network errs less with dropout, and less still with max-norm; ReLU before logistic;
            max-norm alone before L2 alone. J3 50 Monte-Carlo passes match the scaled network to
            .1 points, one errs more (§7.5). J4 (before its row, after those above, of which J1 and
            most of J2 had failed) It is for want of updates: with three times as many, ReLU with
            dropout comes within .15 points of the paper's, and errs less than without dropout. J5
            (before its two rows, after J4 had held) So it is in Table 9: both networks with
            dropout come within .15 points, in the paper's orders. J6 (before its three rows, after
            J5 had failed for max-norm) So it is in the rest of Table 2: with three times as many
            updates logistic units with dropout and ReLU with dropout and max-norm come within .15
            points, the latter with ten times as many at the latest, in the paper's orders. J7
            (before the last row, after all of J6 had failed but the order of ReLU and logistic)
            With ten times as many logistic units do, too.
Command     python -m experiments.srivastava --data-dir DIR [--cache DIR] [--quick]
Time        six hours on two CPU cores, partly beside other work: 11 to 23 minutes a row, the
            longer ones 14 to 50

Scientific  the rows of Table 2 with 3×1024 units, and of Table 9 (784-1024-1024-2048-10)
Nuisance    learning rates, by row: the one of four with the least loss on 10,000 of the training
            images, which are then trained on too, after 2 epochs (6 for the last six rows) of a
            seed that is not used again
Fixed       keep .5 of hidden units and .8 of pixels, momentum .95, the learning rate falling to 0,
            batch 100, 20 epochs of all 60,000 images: 12,000 updates (the paper: a million), three
            times as many in the longer rows, ten times in the longest; 4 seeds; max-norm 2 on the
            weights into each hidden unit
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dropout_jax.analysis import ensemble
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.io import writers
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations import checkpoints
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import fit_population
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams, sgd
from experiments.shared import study
from experiments.shared.averages import scores
from experiments.shared.published import ORDERS, ROWS, TABLES, Row

RESULTS = study.RESULTS / "srivastava"
MOMENTUM, MAX_NORM, L2 = 0.95, 2.0, 1e-4
NEAR = 0.15  # points
LEARNING_RATES = (0.01, 0.03, 0.1, 0.3)
HELD_OUT = 6  # a sixth of the training images: 10,000
RATES = (0.2, 0.5, 0.5, 0.5)
AVERAGED = "ReLU, dropout, max-norm"  # whose passes are averaged
PASSES = (1, 2, 5, 10, 20, 50, 100)
PASSES_SEED = 1  # apart from the keys that members descend from
MATCH = 0.1  # points
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; `divided_by` makes every layer so many times narrower."""

    epochs: int = 20
    seeds: int = 4
    batch_size: int = 100
    divided_by: int = 1
    data_dir: Path | None = None
    cache: Path | None = Path("runs", "srivastava")


QUICK = Size("digits", epochs=1, seeds=2, batch_size=50, divided_by=128, cache=None)


@cache
def decaying(n_steps: int) -> Callable[[Hparams], optax.GradientTransformation]:
    """Gradient descent whose step falls linearly to 0; the same function for the same steps."""

    def make_optimizer(hparams: Hparams) -> optax.GradientTransformation:
        fall = optax.scale_by_schedule(optax.linear_schedule(1.0, 0.0, n_steps))
        return optax.chain(sgd(hparams), fall)

    return make_optimizer


def configure(row: Row, size: Size, n_examples: int, n_classes: int, epochs: int) -> Config:
    """The configuration of a row's training."""
    features = tuple(width // size.divided_by for width in TABLES[row.table])
    model = MLP((*features, n_classes), activation=row.activation)
    n_steps = epochs * (n_examples // size.batch_size)
    return Config(model, epochs, size.batch_size, make_optimizer=decaying(n_steps))


def condition(row: Row, learning_rate: float) -> Hparams:
    """The hyper-parameters of a row."""
    rates = RATES if row.dropout else (0.0,) * len(RATES)
    max_norm = MAX_NORM if row.max_norm else np.inf
    return Hparams(rates, learning_rate, MOMENTUM, L2 if row.l2 else 0.0, max_norm)


def tune(row: Row, size: Size, data: Dataset) -> dict[float, float]:
    """Loss on held-out training images by learning rate, of a seed that is not used again."""
    n = len(data.x_train) - len(data.x_train) // HELD_OUT
    (x, x_held), (y, y_held) = (np.split(of, [n]) for of in (data.x_train, data.y_train))
    held_out = data._replace(x_train=x, y_train=y, x_test=x_held, y_test=y_held)
    config = configure(row, size, n, data.n_classes, row.tuning)
    conditions = [condition(row, learning_rate) for learning_rate in LEARNING_RATES]
    tuned = fit_population(config, conditions, [size.seeds], study.root_key(), held_out)
    losses = np.asarray(tuned.curve.test.loss)[:, 0, -1]
    return dict(zip(LEARNING_RATES, np.nan_to_num(losses, nan=np.inf).tolist(), strict=True))


def average_passes(model: MLP, params: Params, key: jax.Array, data: Dataset) -> jax.Array:
    """Test errors of the mean over the first of random masks [P]; the key is consumed."""

    def one_pass(key: jax.Array, x: jax.Array) -> Any:
        return model.apply(params, x, key=key, rates=RATES)

    passes = ensemble.mc_predictions(one_pass, key, jnp.asarray(data.x_test), PASSES[-1])
    found = scores(PASSES, ensemble.arithmetic_mean, passes, jnp.asarray(data.y_test))
    return found["error"]


def train(name: str, size: Size, data: Dataset) -> dict[str, Any]:
    """Errors of a row in per cent: at the end [S], along training [S, P], of averaged passes."""
    row, start = ROWS[name], perf_counter()
    losses = tune(row, size, data)
    learning_rate = min(losses, key=lambda rate: losses[rate])
    epochs = size.epochs * row.times
    config = configure(row, size, len(data.x_train), data.n_classes, epochs)
    way = None
    if size.cache is not None:
        folder = size.cache / name.replace(", ", "_") / f"{epochs}-epochs-{size.seeds}-seeds"
        save = partial(checkpoints.save, folder)
        way = checkpoints.Checkpoints(save, checkpoints.load(folder), CHECKPOINT_SECONDS)
    root, of_row = study.root_key(), [condition(row, learning_rate)]
    trained = fit_population(config, of_row, range(size.seeds), root, data, checkpoints=way)
    errors = study.percent(trained.curve.test.error)[0]
    passes = {}
    if name == AVERAGED:
        keys = jax.random.split(jax.random.key(PASSES_SEED, impl=study.PRNG), (1, size.seeds))
        found = map_members(average_passes, (config.model,), (trained.params, keys), data)
        passes = {"passes": study.percent(np.asarray(found)[0] / 100).tolist()}
    return {
        "errors": errors[:, -1].tolist(),
        **passes,
        "epochs": trained.epochs.tolist(),
        "curve": errors.tolist(),
        "curve_train": study.percent(trained.curve.train.error)[0].tolist(),
        "updates": epochs * (len(data.x_train) // size.batch_size),
        "learning_rate": learning_rate,
        "tuning": [[rate, loss if np.isfinite(loss) else None] for rate, loss in losses.items()],
        "seconds": perf_counter() - start,
    }


def remembered(name: str, size: Size, data: Dataset) -> dict[str, Any]:
    """The result of `train`, from the cache if it is there."""
    if size.cache is None:
        return train(name, size, data)
    path = size.cache / f"{name.replace(', ', '_')}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    found = train(name, size, data)
    writers.write_json(path, found)
    return found


def summarise(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Paper and here, row by row, and the differences of the orders, paired by seed."""
    rows = []
    for name, of in found.items():
        errors = np.array(of["errors"])
        here = {**study.over_seeds(errors), "sd": float(errors.std(ddof=1)), "n": len(errors)}
        rows.append({"row": name, "paper": ROWS[name].paper, "here": here, **of})
    orders = [
        {
            "better": order.better,
            "worse": order.worse,
            **study.over_seeds(
                np.subtract(found[order.better]["errors"], found[order.worse]["errors"])
            ),
        }
        for order in ORDERS
    ]
    passes = np.array(found[AVERAGED]["passes"])
    above = passes - np.array(found[AVERAGED]["errors"])[:, None]
    above_scaled = [
        {"passes": n, **study.over_seeds(values)} for n, values in zip(PASSES, above.T, strict=True)
    ]
    return {"rows": rows, "orders": orders, "above_scaled": above_scaled}


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held."""
    judged = []
    for row in summary["rows"]:
        of = ROWS[row["row"]]
        if of.dropout:
            low, high = (row["here"][end] - row["paper"] for end in ("ci_low", "ci_high"))
            claim = f"{row['row']}: within {NEAR:g} points of the paper's"
            within = low >= -NEAR and high <= NEAR
            judged.append(study.judged(of.prediction, claim, within, row["here"]))
    for order, row in zip(ORDERS, summary["orders"], strict=True):
        claim = f"{order.better} errs less than {order.worse}"
        judged.append(study.judged(order.prediction, claim, row["ci_high"] < 0, row))
    of_passes = {row["passes"]: row for row in summary["above_scaled"]}
    one, many = of_passes[1], of_passes[50]
    claim = "one pass errs more than the scaled network"
    judged.append(study.judged("J3", claim, one["ci_low"] > 0, one))
    claim = f"50 passes match the scaled network to {MATCH:g} points"
    judged.append(study.judged_within("J3", claim, [many], -MATCH, MATCH))
    return judged


def markdown(folder: Path) -> str:
    """The table of the index, from a record: paper and here, side by side."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    lines = [
        "| network | table | paper, % | here, mean ± sd, % | n | updates |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary["rows"]:
        paper = "not given" if row["paper"] is None else f"{row['paper']:.2f}"
        here = row["here"]
        error = f"{here['mean']:.2f} ± {here['sd']:.2f}"
        of = (row["row"], ROWS[row["row"]].table, paper, error, here["n"], f"{row['updates']:,}")
        lines.append(f"| {' | '.join(map(str, of))} |")
    return "\n".join(lines) + "\n"


@mpl.rc_context(style.STYLE)
def plot(summary: dict[str, Any]) -> Figure:
    """Learning curves of either table; below, the longer rows with dropout and those without.

    The paper's errors are dotted.
    """
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    grid = figure.subplots(2, 2, sharey=True)
    for column, (table, features) in zip(grid.T, TABLES.items(), strict=True):
        rows = [row for row in summary["rows"] if ROWS[row["row"]].table == table]
        usual = [row for row in rows if ROWS[row["row"]].times == 1]
        longer = [row for row in rows if row not in usual or not ROWS[row["row"]].dropout]
        for axes, of_axes in zip(column, (usual, longer), strict=True):
            for c, row in enumerate(of_axes):
                style.draw_band(axes, np.array(row["epochs"]), np.array(row["curve"]), c)
                if row["paper"]:
                    axes.axhline(row["paper"], color=style.colour(c), lw=0.8, ls=":")
            axes.legend(handles=style.legend([row["row"] for row in of_axes]), loc="upper right")
            axes.set(xlabel="epoch", ylabel="test error, %", xlim=(0, None))
            style.log_scale(axes, (1, 2, 3, 5))
            axes.set_ylim(0.95, 20)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        column[0].set_title(f"784-{'-'.join(map(str, features))}-10")
    n_seeds = summary["rows"][0]["here"]["n"]
    title = f"Full MNIST: mean and range over {n_seeds} seeds; dotted: the paper's"
    figure.suptitle(title, size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Train every row, write the record and print the table."""
    data, found = load_dataset(size.dataset, size.data_dir), {}
    if size.cache is not None:
        size = replace(size, cache=size.cache / f"{size.dataset}_{size.epochs}_{size.seeds}")
    for name in ROWS:
        found[name] = remembered(name, size, data)
        print(f"{name}: {np.mean(found[name]['errors']):.2f} %", flush=True)
    summary = summarise(found)
    seconds = sum(of["seconds"] for of in found.values())
    settings = {
        "dataset": size.dataset,
        "epochs": size.epochs,
        "seeds": size.seeds,
        "batch_size": size.batch_size,
        "momentum": MOMENTUM,
        "max_norm": MAX_NORM,
        "l2": L2,
        "learning_rates": LEARNING_RATES,
        "rates": RATES,
        "times": {name: row.times for name, row in ROWS.items()},
    }
    study.write(folder, settings, summary, judge(summary), {"curves": plot(summary)}, seconds)


if __name__ == "__main__":
    study.start(__doc__, main, RESULTS, Size(), QUICK, folders=("data_dir", "cache"))
