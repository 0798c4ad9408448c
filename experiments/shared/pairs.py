"""How far pairs of hidden units act together: in logits, and in cross entropy at matched damage.

Shapes: n examples, U units of a layer, P pairs, L hidden layers, K classes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

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
OutputFn = Callable[[jax.Array], jax.Array]


class _Layer(NamedTuple):
    """A hidden layer of one member: activations h [n, U], the loss and the logits from them."""

    h: jax.Array
    loss_fn: OutputFn
    logits_fn: OutputFn


def mean_loss(logits: jax.Array, y: jax.Array, temperature: jax.Array) -> jax.Array:
    """Mean cross entropy of logits [n, K] at a temperature, in nats."""
    return jax.vmap(cross_entropy)(logits / temperature, y).mean()


def fitted_temperature(model: MLP, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """The temperature of least loss on other examples (Guo et al. 2017)."""
    logits = cast(jax.Array, model.apply(params, x))
    temperatures = jnp.asarray(TEMPERATURES)
    losses = jax.lax.map(partial(mean_loss, logits, y), temperatures)
    return temperatures[jnp.argmin(losses)]


def _hidden_layers(model: MLP, params: Params, shared: dict[str, Any]) -> list[_Layer]:
    hidden = cast(tuple, model.apply(params, shared["x"], method="activations"))[:-1]
    temperature = fitted_temperature(model, params, shared["x_fit"], shared["y_fit"])

    def layer(l: int, h: jax.Array) -> _Layer:
        logits_fn = partial(outputs_from, model, params, l)
        return _Layer(h, lambda h: mean_loss(logits_fn(h), shared["y"], temperature), logits_fn)

    return [layer(l, h) for l, h in enumerate(hidden)]


def together(model: MLP, params: Params, shared: dict[str, Any]) -> list[dict[str, jax.Array]]:
    """The measures of every hidden layer of one member, with units taken out."""
    results = []
    for layer, pairs in zip(_hidden_layers(model, params, shared), shared["pairs"], strict=True):
        damage = ablation.damages(layer.loss_fn, layer.h)
        effect = ablation.effects(layer.logits_fn, layer.h, jnp.arange(layer.h.shape[1])[:, None])
        single = jnp.linalg.norm(effect, axis=-1).mean(axis=-1)
        in_logits = ablation.output_interactions(layer.logits_fn, layer.h, pairs)
        in_nats = ablation.pair_interactions(layer.loss_fn, layer.h, damage, pairs)
        results.append(
            {
                "relative interaction in logits": in_logits.mean() / single.mean(),
                "relative interaction in nats": jnp.abs(in_nats).mean() / jnp.abs(damage).mean(),
                "Gini of effects on logits": gini(single),
                "Gini of damages": gini(jnp.abs(damage)),
                "effective share, logits": ablation.effective_number(single) / len(single),
                "effective share, nats": ablation.effective_number(damage) / len(damage),
                "mean effect on logits": single.mean(),
                "mean damage": _mean_damage(layer, shared["units"], 1.0),
            }
        )
    return results


def _mean_damage(layer: _Layer, units: jax.Array, strength: Any) -> jax.Array:
    """Mean |damage| of some units, shrunk by a strength."""
    return jnp.abs(ablation.effects(layer.loss_fn, layer.h, units, strength)).mean()


def at_matched_damage(
    model: MLP, params: Params, targets: jax.Array, shared: dict[str, Any]
) -> dict[str, jax.Array]:
    """Relative interaction [L] with units shrunk until their mean damage is the target [L].

    The strength is found by halving [0, 1]; the mean damage grows with it.
    """
    results = []
    for layer, pairs, target in zip(
        _hidden_layers(model, params, shared), shared["pairs"], targets, strict=True
    ):

        def halve(_: Any, ends: Any, layer: _Layer = layer, target: Any = target) -> Any:
            middle = ends.mean()
            low = _mean_damage(layer, shared["units"], middle) < target
            return jnp.where(low, jnp.array([middle, ends[1]]), jnp.array([ends[0], middle]))

        ends = jnp.stack([0 * target, 0 * target + 1])  # they vary over devices as the target does
        strength = jax.lax.fori_loop(0, HALVINGS, halve, ends).max()
        damage = ablation.damages(layer.loss_fn, layer.h, strength)
        pair = ablation.pair_interactions(layer.loss_fn, layer.h, damage, pairs, strength)
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
