"""A run for TensorBoard: learning curves and histograms of weights, one of its runs per network.

Needs tensorboardX, the extra [tensorboard].
"""

import re
from pathlib import Path

import numpy as np

from dropout_jax.networks.mlp import layers
from dropout_jax.runs.outcome import Outcome


def check_installed() -> None:
    """Raise ValueError unless tensorboardX is installed; the message says how to install it."""
    try:
        import tensorboardX  # noqa: F401, only whether it is there
    except ModuleNotFoundError:
        install = "pip install 'dropout_jax[tensorboard]'"
        raise ValueError(f"--tensorboard needs tensorboardX: {install}") from None


def write(folder: Path, result: Outcome) -> None:
    """Write a run's events to `{folder}/{number}-{condition}/{seed}`, epochs as steps.

    Scalars are the metrics along training, losses in nats and errors as fractions; histograms are
    |w| and w of each layer's kernel, before and after.
    """
    from tensorboardX import SummaryWriter

    population = result.population
    last = int(population.epochs[-1])
    trees = [(0, layers(population.init_params)), (last, layers(population.params))]
    for c, name in enumerate(result.conditions):
        safe_name = re.sub(r"[^\w .-]", "_", name)  # in a path of any system
        for s, seed in enumerate(result.seeds):
            with SummaryWriter(str(folder / f"{c}-{safe_name}" / str(seed))) as writer:
                for curve, values in population.curve.by_name().items():
                    for epoch, value in zip(population.epochs, values[c, s], strict=True):
                        writer.add_scalar(curve.replace("_", "/"), float(value), int(epoch))
                for epoch, tree in trees:
                    for l, layer in enumerate(tree):
                        kernel = np.asarray(layer["kernel"][c, s])
                        if np.isfinite(kernel).all():
                            writer.add_histogram(f"layer_{l}/w", kernel, epoch)
                            writer.add_histogram(f"layer_{l}/magnitude", np.abs(kernel), epoch)
