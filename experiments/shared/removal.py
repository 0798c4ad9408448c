"""What a network relies on: hidden units are taken out singly, in pairs and in random order."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis import ablation, units
from dropout_jax.analysis.uniformity import gini
from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP, Params, layers, outputs_from
from dropout_jax.training.objectives import cross_entropy, error_rate

N_EXAMPLES, N_PAIRS, N_ORDERS = 500, 500, 5
FRACTIONS = np.linspace(0, 1, 21, dtype=np.float32)
MEASURES = {  # and their units
    "largest damage": "nats",
    "Gini of damages": "",
    "effective share of units": "",
    "relative pair interaction": "",
    "area under the error curve": "",
    "correlation of activations": "",
    "cosine of incoming": "",
    "mean activation": "",
    "silent share": "",
}


def _loss_from(
    model: MLP, params: Params, layer: int, y: jax.Array, fn: Any, hidden: jax.Array
) -> jax.Array:
    """Mean of `fn` over the examples, from what hidden layer `layer` sends on."""
    return jax.vmap(fn)(outputs_from(model, params, layer, hidden), y).mean()


def reliance(model: MLP, params: Params, shared: dict[str, Any]) -> list[dict[str, jax.Array]]:
    """The measures of every hidden layer of one member, and its error curve."""
    hidden = model.apply(params, shared["x"], method="activations")[:-1]
    results = []
    for l, h in enumerate(hidden):
        loss, error = (
            partial(_loss_from, model, params, l, shared["y"], fn)
            for fn in (cross_entropy, error_rate)
        )
        damage = ablation.damages(loss, h)
        pairs = ablation.pair_interactions(loss, h, damage, shared["pairs"][l])
        curve = ablation.ablation_curve(error, h, shared["orders"][l], jnp.asarray(FRACTIONS))
        results.append(
            {
                "largest damage": damage.max(),
                "Gini of damages": gini(jnp.abs(damage)),
                "effective share of units": ablation.effective_number(damage) / len(damage),
                "relative pair interaction": jnp.abs(pairs).mean() / jnp.abs(damage).mean(),
                "area under the error curve": jnp.trapezoid(curve, FRACTIONS),
                "correlation of activations": units.mean_correlation(h),
                "cosine of incoming": units.mean_cosine(layers(params)[l]["kernel"]),
                "mean activation": h.mean(),
                "silent share": jnp.mean(h == 0),
                "curve": curve,
            }
        )
    return results


def examination(data: Dataset, widths: Sequence[int]) -> dict[str, Any]:
    """What `reliance` takes, the same for all members: test digits, and which units to remove."""
    rng = np.random.default_rng(0)
    pairs, orders = [], []
    for width in widths:
        layer_pairs = np.stack(np.triu_indices(width, 1), axis=1)
        if len(layer_pairs) > N_PAIRS:
            layer_pairs = rng.choice(layer_pairs, N_PAIRS, replace=False)
        pairs.append(layer_pairs.astype(np.int32))
        orders.append(np.stack([rng.permutation(width) for _ in range(N_ORDERS)]).astype(np.int32))
    x, y = data.x_test[:N_EXAMPLES], data.y_test[:N_EXAMPLES]
    return {"x": x, "y": y, "pairs": pairs, "orders": orders}
