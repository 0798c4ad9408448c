"""Linear regression with dropout of its features, or an L2 penalty: trained, and closed forms.

Every feature adds alike to the target, whatever its scale. Dropout shrinks what features contribute
by one factor; L2 takes most from those of small scale (Srivastava et al. 2014, §9.1).

Shapes: S seeds, n examples, D features.
"""

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis.theory import dropout_penalty, ridge
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.objectives import squared_error
from experiments.shared.members import average_all

RATE = 0.5
N_EXAMPLES, N_FEATURES = 200, 8
SCALES = {"equal scale": np.ones(N_FEATURES), "scales 1 … .1": np.geomspace(1, 0.1, N_FEATURES)}
Weights = dict[str, np.ndarray]  # trained [S, D], closed forms [D]


def examples(scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred features [n, D] of these standard deviations, and a target to which all add alike."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_EXAMPLES, N_FEATURES))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    noise = rng.normal(scale=0.1, size=N_EXAMPLES)
    y = x.sum(axis=1) + noise - noise.mean()
    return (x * scales).astype(np.float32), y.astype(np.float32)


def weights(params: Params) -> jax.Array:
    """The weights [D] of a network without hidden layer and with one output."""
    return layers(params)[0]["kernel"][:, 0]


def run(n_seeds: int, n_steps: int) -> dict[str, Weights]:
    """Weights [S, D] with dropout and under L2, trained, and the closed forms [D], by scales."""
    config = Config(MLP((1,)), batch_size=N_EXAMPLES, loss_fn=squared_error)
    found = {}
    for name, scales in SCALES.items():
        x, y = map(jnp.asarray, examples(scales))
        penalty = dropout_penalty(x, RATE)  # of the sum of squares; ½ μ is of their mean
        l2 = 2 * float(penalty.mean()) / N_EXAMPLES
        base = Hparams((0.0,), momentum=0.0)
        conditions = [base._replace(rates=(RATE,)), base._replace(weight_decay=l2)]
        dropout, decayed = average_all(config, n_steps, weights, conditions, n_seeds, x, y[:, None])
        found[name] = {
            "dropout": dropout,
            "L2": decayed,
            "dropout, closed form": np.asarray(ridge(x, y, penalty)),
            "L2, closed form": np.asarray(ridge(x, y, penalty.mean())),
        }
    return found


@mpl.rc_context(style.STYLE)
def plot(linear: dict[str, Weights]) -> Figure:
    """What each feature contributes: closed forms as lines, trained networks as points."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    grid = figure.subplots(1, len(linear), sharey=True)
    index = np.arange(N_FEATURES)
    for axes, (name, weights) in zip(grid, linear.items(), strict=True):
        for c, kind in enumerate(("dropout", "L2")):
            look = {"color": style.COLOURS[c]}
            contributions = SCALES[name] * weights[kind]
            shifted = index[None] + 0.16 * (c - 0.5)
            axes.plot(index, SCALES[name] * weights[f"{kind}, closed form"], lw=1, **look)
            axes.plot(
                np.broadcast_to(shifted, contributions.shape).ravel(),
                contributions.ravel(),
                "o^"[c],
                ms=4,
                mfc="none",
                **look,
                label=kind,
            )
        axes.axhline(1, color=style.GREY, lw=0.8, ls=":")
        axes.set(title=f"features of {name}", xlabel="feature", ylim=(0, 1.1))
    grid[0].set_ylabel("what a feature contributes, sⱼ wⱼ")
    grid[0].legend(loc="lower left")
    n_seeds = len(next(iter(linear.values()))["L2"])
    figure.suptitle(
        f"Linear regression: lines closed forms, points trained, {n_seeds} seeds; dotted: least "
        "squares without noise",
        size=10,
    )
    return figure
