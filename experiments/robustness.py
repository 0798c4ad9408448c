"""Does dropout make a network robust to fluctuations in its input?

Question    A lecture: dropout may make a network "robust to fluctuations in the input". How does
            the accuracy fall under noise, dropped pixels, shifts and loss of contrast?
Predicted   P7 For dropout of hidden units the sign is open. B1 Dropout of pixels makes networks
            more accurate under dropped pixels and under noise. B2 Tuned L2 makes them more accurate
            under noise. B3 Nothing helps by more than 2 points against shifts.
Command     python -m experiments.robustness [--quick]
Time        about two minutes on two CPU cores

Scientific  none, dropout .5 of hidden units, tuned L2, dropout .2 of pixels, both dropouts
Fixed       as in the main study; what is drawn is the same for all conditions of a seed; means over
            the strengths above 0
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis import perturbations
from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import fit_population, member_key
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.objectives import error_rate
from experiments.shared import study
from experiments.shared.study import QUICK, Size

RESULTS = study.RESULTS / "robustness"
NOISE_SEED = 1  # apart from the keys that members descend from


class Perturbation(NamedTuple):
    """What `move` does to an image x [D] by a key, at so many strengths in a unit."""

    move: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    strengths: np.ndarray
    unit: str


PERTURBATIONS = {
    "noise": Perturbation(
        perturbations.gaussian_noise, np.linspace(0, 1, 11), "standard deviation"
    ),
    "dropped pixels": Perturbation(
        perturbations.dropped_pixels, np.linspace(0, 0.9, 10), "fraction"
    ),
    "shift": Perturbation(perturbations.shift, np.arange(7), "pixels"),
    "contrast": Perturbation(
        perturbations.less_contrast, np.linspace(0, 0.95, 11), "fraction lost"
    ),
}


def conditions(n_hidden: int) -> dict[str, Hparams]:
    """The conditions by name."""

    def of(hidden: float, pixels: float = 0.0, weight_decay: float = 0.0) -> Hparams:
        return Hparams(study.layer_rates(hidden, n_hidden, pixels), weight_decay=weight_decay)

    return {
        "none": of(0.0),
        "dropout": of(0.5),
        "L2": of(0.0, weight_decay=study.tuned_l2()),
        "pixel dropout": of(0.0, pixels=0.2),
        "both dropouts": of(0.5, pixels=0.2),
    }


def accuracies(
    model: MLP, params: Params, key: jax.Array, test: tuple[jax.Array, jax.Array]
) -> dict[str, jax.Array]:
    """Accuracy of one member, a fraction, under every perturbation at every strength."""
    x, y = test
    keys = jax.random.split(key, len(PERTURBATIONS))
    results = {}
    for key, (name, of) in zip(keys, PERTURBATIONS.items(), strict=True):
        at_strengths = jax.vmap(of.move, (None, None, 0))
        moved = jax.vmap(at_strengths, (0, 0, None))(
            jax.random.split(key, len(x)), x, jnp.asarray(of.strengths, jnp.float32)
        )
        outputs = cast(jax.Array, model.apply(params, moved))  # [n, F, K]
        errors = jax.vmap(jax.vmap(error_rate, (0, None)))(outputs, y)
        results[name] = 1 - errors.mean(axis=0)
    return results


def run(size: Size) -> tuple[list[str], dict[str, np.ndarray]]:
    """Conditions, and accuracies [C, S, F] for every perturbation."""
    data = load_dataset(size.dataset)
    model, named = MLP((*size.features, data.n_classes)), conditions(len(size.features))
    trained = fit_population(
        Config(model, epochs=size.epochs),
        list(named.values()),
        range(size.seeds),
        study.root_key(),
        data,
    )
    noise_root = jax.random.key(NOISE_SEED, impl=study.PRNG)
    of_seed = jax.vmap(lambda seed: member_key(noise_root, seed))(np.arange(size.seeds))
    keys = jnp.broadcast_to(of_seed, (len(named), size.seeds))
    test = (data.x_test, data.y_test)
    return list(named), map_members(accuracies, (model,), (trained.params, keys), test)


def summarise(names: list[str], measured: dict[str, np.ndarray]) -> dict[str, Any]:
    """Mean accuracies in percent, and paired comparisons of their means over strengths above 0."""
    over_strengths = np.stack([100 * of[..., 1:].mean(axis=-1) for of in measured.values()], -1)
    return {
        "n_seeds": over_strengths.shape[1],
        "strengths": {name: of.strengths.tolist() for name, of in PERTURBATIONS.items()},
        "accuracy_percent": {
            name: {kind: (100 * of[c].mean(axis=0)).tolist() for kind, of in measured.items()}
            for c, name in enumerate(names)
        },
        "comparisons": [
            {"baseline": names[0], "condition": name, **row}
            for c, name in enumerate(names[1:], start=1)
            for row in study.paired(list(measured), over_strengths[0], over_strengths[c])
        ],
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held; for P7, whether all signs are positive."""
    rows = {(row["condition"], row["quantity"]): row for row in summary["comparisons"]}
    judged = []
    for kind in PERTURBATIONS:
        row = rows["dropout", kind]
        claim = f"open: dropout of hidden units is more accurate under {kind}"
        judged.append(study.judged("P7", claim, row["ci_low"] > 0, row))
    for kind in ("dropped pixels", "noise"):
        row = rows["pixel dropout", kind]
        claim = f"dropout of pixels is more accurate under {kind}"
        judged.append(study.judged("B1", claim, row["ci_low"] > 0, row))
    row = rows["L2", "noise"]
    judged.append(study.judged("B2", "L2 is more accurate under noise", row["ci_low"] > 0, row))
    shifts = [row for (_, kind), row in rows.items() if kind == "shift"]
    held = all(row["ci_high"] < 2 for row in shifts)
    judged.append(study.judged("B3", "nothing helps by more than 2 points in shifts", held, shifts))
    return judged


@mpl.rc_context(style.STYLE)
def plot(names: list[str], measured: dict[str, np.ndarray]) -> Figure:
    """Accuracy against strength, a panel for every perturbation."""
    figure = Figure(figsize=(7.2, 6), layout="constrained")
    grid = figure.subplots(2, 2, sharey=True)
    for axes, (kind, of) in zip(grid.ravel(), PERTURBATIONS.items(), strict=True):
        style.draw_bands(axes, of.strengths, 100 * measured[kind])
        axes.set(title=kind, xlabel=of.unit, xlim=(0, of.strengths[-1]), ylim=(0, 100))
    for row in grid:
        row[0].set_ylabel("test accuracy, %")
    grid[0, 0].legend(handles=style.legend(names), loc="lower left")
    n_seeds = measured["noise"].shape[1]
    figure.suptitle(f"Fluctuations in the input: mean and range over {n_seeds} seeds", size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    names, measured = run(size)
    summary = summarise(names, measured)
    settings = {**size.__dict__, "l2": study.tuned_l2(), "noise_seed": NOISE_SEED}
    figures = {"accuracy": plot(names, measured)}
    study.write(folder, settings, summary, judge(summary), figures, perf_counter() - start)


if __name__ == "__main__":
    study.start(__doc__, main, RESULTS, Size(), QUICK)
