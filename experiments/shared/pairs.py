"""How far pairs of hidden units act together: in logits, and in cross entropy at matched damage.

Shapes: n examples, U units of a layer, P pairs, L hidden layers, K classes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis import ablation
from dropout_jax.analysis.uniformity import gini
from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP, Params, outputs_from
from dropout_jax.training.objectives import cross_entropy

N_EXAMPLES, N_PAIRS, N_UNITS = 250, 200, 64
TEMPERATURES = np.geomspace(0.2, 8, 201).astype(np.float32)
HALVINGS = 12  # of the interval that holds the strength
MEASURES = (
    "relative interaction in logits",
    "relative interaction in nats",
    "Gini of effects on logits",
    "Gini of damages",
    "effective share, logits",
    "effective share, nats",
    "mean effect on logits",
    "mean damage",
)
MATCHED = "relative interaction in nats, matched damage"
LossFn = Callable[[jax.Array], jax.Array]


def mean_loss(logits: jax.Array, y: jax.Array, temperature: jax.Array) -> jax.Array:
    """Mean cross entropy of logits [n, K] at a temperature, in nats."""
    return jax.vmap(cross_entropy)(logits / temperature, y).mean()


def fitted_temperature(model: MLP, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """The temperature of least loss on other examples (Guo et al. 2017)."""
    logits = cast(jax.Array, model.apply(params, x))
    temperatures = jnp.asarray(TEMPERATURES)
    losses = jax.lax.map(partial(mean_loss, logits, y), temperatures)
    return temperatures[jnp.argmin(losses)]


def _layer_parts(
    model: MLP, params: Params, shared: dict[str, Any]
) -> list[tuple[Any, LossFn, Any]]:
    """Of every hidden layer: its activations, the loss from them, and the logits from them."""
    hidden = cast(tuple, model.apply(params, shared["x"], method="activations"))[:-1]
    temperature = fitted_temperature(model, params, shared["x_fit"], shared["y_fit"])

    def parts(l: int, h: jax.Array) -> tuple[Any, LossFn, Any]:
        logits_fn = partial(outputs_from, model, params, l)
        return h, lambda h: mean_loss(logits_fn(h), shared["y"], temperature), logits_fn

    return [parts(l, h) for l, h in enumerate(hidden)]


def together(model: MLP, params: Params, shared: dict[str, Any]) -> list[dict[str, jax.Array]]:
    """The measures of every hidden layer of one member, with units taken out."""
    results = []
    for (h, loss_fn, logits_fn), pairs in zip(
        _layer_parts(model, params, shared), shared["pairs"], strict=True
    ):
        damage = ablation.damages(loss_fn, h)
        effect = ablation.effects(logits_fn, h, jnp.arange(h.shape[1])[:, None])
        single = jnp.linalg.norm(effect, axis=-1).mean(axis=-1)
        in_logits = ablation.output_interactions(logits_fn, h, pairs)
        in_nats = ablation.pair_interactions(loss_fn, h, damage, pairs)
        results.append(
            {
                "relative interaction in logits": in_logits.mean() / single.mean(),
                "relative interaction in nats": jnp.abs(in_nats).mean() / jnp.abs(damage).mean(),
                "Gini of effects on logits": gini(single),
                "Gini of damages": gini(jnp.abs(damage)),
                "effective share, logits": ablation.effective_number(single) / len(single),
                "effective share, nats": ablation.effective_number(damage) / len(damage),
                "mean effect on logits": single.mean(),
                "mean damage": _mean_damage(loss_fn, h, shared["units"], 1.0),
            }
        )
    return results


def _mean_damage(loss_fn: LossFn, h: jax.Array, units: jax.Array, strength: Any) -> jax.Array:
    """Mean |damage| of some units, shrunk by a strength."""
    return jnp.abs(ablation.effects(loss_fn, h, units, strength)).mean()


def at_matched_damage(
    model: MLP, params: Params, targets: jax.Array, shared: dict[str, Any]
) -> dict[str, jax.Array]:
    """Relative interaction [L] with units shrunk until their mean damage is the target [L].

    The strength is found by halving [0, 1]; the mean damage grows with it.
    """
    results = []
    for (h, loss_fn, _), pairs, target in zip(
        _layer_parts(model, params, shared), shared["pairs"], targets, strict=True
    ):

        def halve(
            _: Any, ends: Any, h: Any = h, loss_fn: Any = loss_fn, target: Any = target
        ) -> Any:
            middle = ends.mean()
            low = _mean_damage(loss_fn, h, shared["units"], middle) < target
            return jnp.where(low, jnp.array([middle, ends[1]]), jnp.array([ends[0], middle]))

        ends = jnp.stack([0 * target, 0 * target + 1])  # they vary over devices as the target does
        strength = jax.lax.fori_loop(0, HALVINGS, halve, ends).max()
        damage = ablation.damages(loss_fn, h, strength)
        pair = ablation.pair_interactions(loss_fn, h, damage, pairs, strength)
        results.append((jnp.abs(pair).mean() / jnp.abs(damage).mean(), strength))
    ratios, strengths = map(jnp.stack, zip(*results, strict=True))
    return {MATCHED: ratios, "strength": strengths}


def examination(data: Dataset, widths: Sequence[int]) -> dict[str, Any]:
    """What both take, the same for all members: digits to measure and to fit, pairs, units."""
    rng = np.random.default_rng(0)
    pairs = [
        np.stack([rng.choice(width, 2, replace=False) for _ in range(N_PAIRS)]).astype(np.int32)
        for width in widths
    ]
    n = min(N_EXAMPLES, len(data.x_test) // 2)
    return {
        "x": data.x_test[:n],
        "y": data.y_test[:n],
        "x_fit": data.x_test[n:],
        "y_fit": data.y_test[n:],
        "pairs": pairs,
        "units": rng.choice(min(widths), min(N_UNITS, min(widths)), replace=False)[:, None],
    }
