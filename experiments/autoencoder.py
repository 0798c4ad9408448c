"""What does a hidden unit come to detect, and how sparse is its code, with dropout?

Question    Srivastava et al. (2014, §7.1 and §7.2) train autoencoders of 256 rectified linear units
            on MNIST: with dropout "the hidden units seem to detect edges, strokes and spots", and
            their code is sparse, though it was not asked to be. Is that so here?
Predicted   After JMLR: E1 The mean activation falls to less than half (there from about 2.0 to
            .7). E2 More of the activations are 0. E3 Both reconstruct the test digits about as
            well, the one with dropout with at most 1.25 times the squared error. Own: E4 A stroke
            is a few pixels, so that the weights into a unit are less uniform, not more: the Gini
            of |w| over the pixels is higher.
Judged      A family is all quantities. All four go by their intervals.
Seen        A first version had linear outputs and squared error, with which many units died in 3
            epochs. So the loss was changed and one seed of 3 epochs looked at: that E1 and E2 held
            there, and E4 not, was known when all four predictions were left as they were.
Command     python -m experiments.autoencoder [--quick] [--data-dir DIR]
Time        nine minutes on two CPU cores with full MNIST, beside other work

Scientific  rate of hidden units (0, .5)
Nuisance    learning rate, by condition: the one of least loss on a sixth of the training images,
            which are then trained on too, after 3 epochs of a seed that is not compared. It was
            the largest, .003, for both, so that a larger one may do better
Fixed       784-256-784, ReLU, then logistic; cross entropy summed over pixels; SGD with momentum
            .9; batch 100; 20 epochs of full MNIST if its folder is given, else of mnist5k;
            activations are of test digits in deterministic passes; pixels that never change are
            left out
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from matplotlib.figure import Figure

from dropout_jax.analysis.uniformity import gini
from dropout_jax.analysis.views import Live, measure_columns, varying_columns
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.populations.devices import map_members
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.objectives import squared_error
from dropout_jax.training.step import TrainState
from experiments.shared import command, differences, judging, record, study
from experiments.shared.members import fresh_members, trained

RESULTS = study.RESULTS / "autoencoder"
CONDITIONS = {"none": 0.0, "dropout": 0.5}
LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
TUNING_EPOCHS = 3
QUANTITIES = (
    *("cross entropy", "squared error"),  # of a digit, in nats and in squares of pixels
    *("mean activation", "share of zeros", "dead units", "Gini of filters"),
)
AS_WELL = 1.25  # times the squared error
SHOWN = 7  # filters in a row and in a column
BINS = np.linspace(0, 6, 61)


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    features: tuple[int, ...] = (256,)
    epochs: int = 20
    batch_size: int = 100
    data_dir: Path | None = None


QUICK = Size("digits", (SHOWN**2,), epochs=1, seeds=3, batch_size=20)


def pixels_cross_entropy(logits: jax.Array, pixels: jax.Array) -> jax.Array:
    """Cross entropy in nats of pixels [D] in [0, 1], each taken as a probability, summed."""
    return optax.sigmoid_binary_cross_entropy(logits, pixels).sum()


@partial(jax.jit, static_argnames="config")
def member(
    config: Config, hparams: Hparams, state: TrainState, data: tuple[jax.Array, jax.Array]
) -> dict[str, jax.Array]:
    """Train a fresh member on images, and measure what it does to others."""
    x, x_test = data
    state = trained(config, hparams, state, x, x)
    activations = config.model.apply(state.params, x_test, method="activations")
    hidden, logits = cast(tuple[jax.Array, jax.Array], activations)
    kernel, pixels = layers(state.params)[0]["kernel"], varying_columns(x)
    live = Live(pixels, jnp.ones(kernel.shape[1], bool))
    return {
        "cross entropy": jax.vmap(pixels_cross_entropy)(logits, x_test).mean(),
        "squared error": jax.vmap(squared_error)(jax.nn.sigmoid(logits), x_test).mean(),
        "mean activation": hidden.mean(),
        "share of zeros": jnp.mean(hidden == 0),
        "dead units": (hidden.max(axis=0) == 0).mean(),
        "Gini of filters": measure_columns(gini, kernel, live),
        "of units": hidden.mean(axis=0),
        "histogram": jnp.histogram(hidden, jnp.asarray(BINS))[0] / hidden.size,
        "filters": jnp.where(pixels[:, None], kernel, 0)[:, : SHOWN**2],
    }


def run(size: Size) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The learning rates chosen, and what was measured [C, S, …]."""
    data = load_dataset(size.dataset, size.data_dir)
    n_pixels, hidden_rates = data.x_train.shape[1], list(CONDITIONS.values())
    model = MLP((*size.features, n_pixels))

    def train(
        epochs: int, rates: Sequence[float] | float, seeds: Sequence[int], data: Dataset
    ) -> Any:
        config = Config(model, epochs, size.batch_size, loss_fn=pixels_cross_entropy)
        fresh = fresh_members(config, hidden_rates, seeds, n_pixels, rates)
        return map_members(member, (config,), fresh, (data.x_train, data.x_test))

    held_out, tuning_epochs = study.last_sixth_held_out(data), min(TUNING_EPOCHS, size.epochs)
    tuning = [train(tuning_epochs, rate, [size.seeds], held_out) for rate in LEARNING_RATES]
    losses = np.concatenate([v["cross entropy"] for v in tuning], axis=1)  # [C, learning rates]
    best = np.nan_to_num(losses, nan=np.inf).argmin(axis=1)
    chosen = [LEARNING_RATES[i] for i in best]
    measured = train(size.epochs, chosen, range(size.seeds), data)
    return dict(zip(CONDITIONS, chosen, strict=True)), measured


def summarise(measured: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means, sd and values, comparisons paired by seed, and the ratios of dropout to none."""
    values = np.stack([measured[name] for name in QUANTITIES], axis=-1).astype(float)  # [C, S, Q]
    ratios = values[1] / values[0]
    return {
        "n_seeds": values.shape[1],
        "conditions": {
            name: {
                quantity: differences.mean_and_sd(v)
                for quantity, v in zip(QUANTITIES, rows.T, strict=True)
            }
            for name, rows in zip(CONDITIONS, values, strict=True)
        },
        "comparisons": differences.paired(QUANTITIES, *values),
        "ratios": {
            name: differences.over_seeds(ratio)
            for name, ratio in zip(QUANTITIES, ratios.T, strict=True)
        },
        "values": {name: measured[name].tolist() for name in QUANTITIES},
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    rows = {row["quantity"]: row for row in summary["comparisons"]}
    ratios = summary["ratios"]
    activation, error = ratios["mean activation"], ratios["squared error"]
    zeros, filters = rows["share of zeros"], rows["Gini of filters"]
    as_well = f"the squared error is at most {AS_WELL:g} times that without"
    return [
        judging.judged_within("E1", "the mean activation falls by half", [activation], high=0.5),
        judging.judged("E2", "more activations are 0", zeros["ci_low"] > 0, zeros),
        judging.judged_within("E3", as_well, [error], high=AS_WELL),
        judging.judged("E4", "filters are less uniform", filters["ci_low"] > 0, filters),
    ]


@mpl.rc_context(style.STYLE)
def plot_filters(filters: np.ndarray) -> Figure:
    """The weights from the pixels into the first units of the first seed, for filters [C, D, U]."""
    side = int(np.sqrt(filters.shape[1]))
    figure = Figure(figsize=(7.2, 4.1), layout="constrained")
    for axes, name, weights in zip(figure.subplots(1, 2), CONDITIONS, filters, strict=True):
        framed = np.full((SHOWN, side + 1, SHOWN, side + 1), np.nan)
        scaled = weights / np.abs(weights).max(axis=0)
        framed[:, :side, :, :side] = scaled.T.reshape(SHOWN, SHOWN, side, side).swapaxes(1, 2)
        picture = framed.reshape(SHOWN * (side + 1), -1)[:-1, :-1]
        axes.imshow(picture, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(name)
        axes.set_axis_off()
    title = f"Weights into {SHOWN**2} of the hidden units, each scaled by its largest"
    figure.suptitle(f"{title}: red > 0, blue < 0", size=10)
    return figure


@mpl.rc_context(style.STYLE)
def plot_activations(measured: dict[str, np.ndarray]) -> Figure:
    """Mean activations of units, and all activations, as shares of all: JMLR 2014, figure 8."""
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    unit_axes, all_axes = figure.subplots(1, 2)
    largest = np.quantile(measured["of units"], 0.999)
    bins = np.linspace(0, largest, len(BINS))
    for c, units in enumerate(measured["of units"]):
        counts = np.histogram(units, bins)[0] / units.size
        unit_axes.stairs(counts, bins, color=style.colour(c), ls=style.line(c), lw=1.3)
        shares = measured["histogram"][c].mean(axis=0)
        all_axes.stairs(shares, BINS, color=style.colour(c), ls=style.line(c), lw=1.3)
    unit_axes.set(title="mean activation of a unit", ylabel="share of the units")
    all_axes.set(title="activation", ylabel="share of all", yscale="log", xlim=(0, BINS[-1]))
    all_axes.legend(handles=style.legend(list(CONDITIONS)))
    n_seeds = measured["of units"].shape[1]
    figure.suptitle(f"Hidden units on test digits: {n_seeds} seeds together", size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    learning_rates, measured = run(size)
    summary = summarise(measured)
    figures = {
        "filters": plot_filters(measured["filters"][:, 0]),
        "activations": plot_activations(measured),
    }
    settings = {**vars(size), "conditions": CONDITIONS, "learning_rates": learning_rates}
    del settings["data_dir"]
    record.write(folder, settings, summary, judge(summary), figures, start)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("data_dir",))
