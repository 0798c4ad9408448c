"""The models of the study of theory: what the library trains, and what is exact.

Shapes: S seeds, D features, k factors of a product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import minimize

from dropout_jax.analysis.theory import (
    dropout_penalty,
    expected_loss,
    linear_network_optimum,
    logistic_penalty,
    output_penalty,
    ridge,
    soft_threshold,
)
from dropout_jax.analysis.units import contribution
from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.noise import dropout
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams, sgd
from dropout_jax.training.objectives import cross_entropy, squared_error
from dropout_jax.training.step import init, train_step
from experiments.shared import regression, study
from experiments.shared.members import average_all, keys_of

RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SINGULAR, N_UNITS = (3.0, 2.0, 1.5, 1.0, 0.5, 0.2), 8
L2_OF_PRODUCT = 0.5  # lowers every singular value by so much
HIDDEN_RATES = (0.0, 0.2, 0.5, 0.8)
FACTORS = (1, 2, 3, 4)
FACTOR_RATES = (0.2, 0.5, 0.8)
_NOISE = 0.3  # sd, of the target 1 of a product
COPIES = {"signed": 1.0, "weights ≥ 0": 4 / 3}  # and the least that they can reach
Found = dict[str, Any]


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    steps: int = 30_000
    masks: int = 1_000_000
    passes: int = 200


QUICK = Size("digits", (16, 16), epochs=2, seeds=3, steps=100, masks=1_000, passes=3)


def linear_regression(size: Size) -> Found:
    """Contributions [rates, S, D], and those of ridge [rates, D]."""
    scales = regression.SCALES["scales 1 … .1"]
    x, y = map(jnp.asarray, regression.examples(scales))
    config = Config(MLP((1,)), batch_size=len(x), loss_fn=squared_error)
    conditions = [Hparams((rate,), momentum=0.0) for rate in RATES]
    trained = average_all(
        config, size.steps, regression.weights, conditions, size.seeds, x, y[:, None]
    )
    exact = np.stack([ridge(x, y, dropout_penalty(x, rate)) for rate in RATES])
    return {"trained": scales * trained, "exact": scales * exact}


def _product_and_units(params: Params) -> jax.Array:
    """The product V Uᵀ of a linear network, and every ‖uᵢ‖ ‖vᵢ‖, as one vector."""
    incoming, outgoing = (layer["kernel"] for layer in layers(params))
    units = jnp.linalg.norm(incoming, axis=0) * jnp.linalg.norm(outgoing, axis=1)
    return jnp.concatenate([(incoming @ outgoing).ravel(), units])


def linear_network(size: Size) -> Found:
    """Singular values and units with dropout, by rate, and under L2; and what is exact."""
    n = len(SINGULAR)
    left, right = (np.linalg.qr(np.random.default_rng(i).normal(size=(n, n)))[0] for i in (0, 1))
    target = jnp.asarray(left * np.array(SINGULAR) @ right, jnp.float32)
    white = jnp.concatenate([jnp.eye(n), -jnp.eye(n)]) * jnp.sqrt(n)
    model = MLP((N_UNITS, n), activation=lambda h: h)
    config = Config(model, batch_size=2 * n, loss_fn=squared_error)
    base = Hparams((0.0, 0.0), learning_rate=0.005, momentum=0.0)
    conditions = [base._replace(rates=(0.0, rate)) for rate in RATES]
    conditions.append(base._replace(weight_decay=2 * L2_OF_PRODUCT))
    trained = average_all(
        config, size.steps, _product_and_units, conditions, size.seeds, white, white @ target.T
    )
    products, units = np.split(trained, [n * n], axis=-1)
    products = products.reshape(*products.shape[:-1], n, n).swapaxes(-1, -2)
    optima = [linear_network_optimum(target, N_UNITS, rate) for rate in RATES]
    exact = np.stack([*(product for product, _ in optima), soft_threshold(target, L2_OF_PRODUCT)])
    return {
        "singular values": np.linalg.svd(products, compute_uv=False),
        "singular values, exact": np.linalg.svd(exact, compute_uv=False),
        "units": units,
        "units, exact": np.array([unit for _, unit in optima]),
        "apart": np.linalg.norm(products - exact[:, None], axis=(-1, -2))
        / np.linalg.norm(exact, axis=(-1, -2))[:, None],
    }


def logit(params: Params) -> jax.Array:
    """The weights [D] of the difference of two logits."""
    kernel = layers(params)[0]["kernel"]
    return kernel[:, 1] - kernel[:, 0]


def logistic_regression(size: Size) -> Found:
    """Weights [rates, S, D], and where the loss with the quadratic penalty is least [rates, D]."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(200, 8))
    truth = np.tile([1, -1], 4) * np.linspace(0.2, 1, 8)
    labels = rng.random(200) < 1 / (1 + np.exp(-half @ truth))
    x = jnp.asarray(np.concatenate([half, -half]), jnp.float32)  # so that no bias is needed
    y = jnp.asarray(np.concatenate([labels, ~labels]), jnp.int32)
    config = Config(MLP((2,)), batch_size=len(x), loss_fn=cross_entropy)
    conditions = [Hparams((rate,), learning_rate=0.2, momentum=0.0) for rate in RATES]
    trained = average_all(config, size.steps, logit, conditions, size.seeds, x, y)

    @jax.jit
    @jax.value_and_grad
    def penalised(w: jax.Array, rate: jax.Array) -> jax.Array:
        logits = jnp.stack([jnp.zeros(len(x)), x @ w], axis=1)
        return (jax.vmap(cross_entropy)(logits, y).sum() + logistic_penalty(x, w, rate)) / len(x)

    exact = [minimize(penalised, np.zeros(8), (np.float32(rate),), jac=True).x for rate in RATES]
    return {"trained": trained, "exact": np.stack(exact)}


def _added_by_masks(
    model: MLP, n_passes: int, params: Params, rate: jax.Array, key: jax.Array, x: jax.Array
) -> jax.Array:
    """What masks of the last hidden layer add to the mean squared error, and λ Σ c² [2]."""
    hidden = cast(tuple, model.apply(params, x, method="activations"))[-2]
    kernel = layers(params)[-1]["kernel"]

    def one_pass(key: jax.Array) -> jax.Array:
        return jnp.mean(jnp.sum(((dropout(key, hidden, rate) - hidden) @ kernel) ** 2, axis=-1))

    added = jax.lax.map(one_pass, jax.random.split(key, n_passes)).mean()
    return jnp.stack([added, output_penalty(contribution(hidden, kernel), rate)])


def last_layer(size: Size) -> Found:
    """Added by masks of rate .5, and λ Σ c², of networks trained at some rates [rates, S, 2]."""
    data = load_dataset(size.dataset)
    model = MLP((*size.features, data.n_classes))
    conditions = [Hparams(study.layer_rates(r, len(size.features))) for r in HIDDEN_RATES]
    config = Config(model, epochs=size.epochs)
    trained = fit_population(config, conditions, range(size.seeds), study.root_key(), data)
    keys = jnp.broadcast_to(keys_of(size.seeds), (len(conditions), size.seeds))
    rates = np.full(keys.shape, 0.5, np.float32)
    members = (trained.params, rates, keys)
    return {"added": map_members(_added_by_masks, (model, size.passes), members, data.x_test)}


def products(size: Size) -> Found:
    """The least-squares coefficient on a product of k dropped ones [rates, k, S]."""

    def coefficient(k: int, key: jax.Array, rate: jax.Array) -> jax.Array:
        mask_key, noise_key = jax.random.split(key)
        product = jnp.prod(dropout(mask_key, jnp.ones((size.masks, k)), rate), axis=1)
        target = 1 + _NOISE * jax.random.normal(noise_key, product.shape)
        return target @ product / (product @ product)

    coefficients = []
    for k in FACTORS:
        keys = keys_of(size.seeds * len(FACTOR_RATES))
        rates = np.array(FACTOR_RATES, np.float32).repeat(size.seeds)
        estimates = jax.lax.map(lambda pair, k=k: coefficient(k, *pair), (keys, rates))
        coefficients.append(np.reshape(estimates, (len(FACTOR_RATES), size.seeds)))
    keep = 1 - np.array(FACTOR_RATES)[:, None]
    return {
        "coefficients": np.stack(coefficients, axis=1),
        "exact": keep ** np.array(FACTORS)[None],
    }


def _without_biases(hparams: Hparams) -> optax.GradientTransformation:
    """Gradient descent that leaves the biases at 0."""

    def biases(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: "bias" in str(path), params)

    return optax.chain(sgd(hparams), optax.masked(optax.set_to_zero(), biases))


def _not_negative(hparams: Hparams) -> optax.GradientTransformation:
    """Gradient descent that leaves the biases at 0 and keeps every weight at 0 or above."""
    return optax.chain(_without_biases(hparams), optax.keep_params_nonnegative())


@partial(jax.jit, static_argnames=("config", "n_steps"))
def _train_on_copies(config: Config, n_steps: int, key: jax.Array) -> jax.Array:
    """The expected loss of a network after training on x = (1, 1), y = 2, half of x dropped."""
    x, y, rates = jnp.ones((1, 2)), jnp.full((1, 1), 2.0), (0.5, 0.0)
    hparams = Hparams(jnp.array(rates), learning_rate=0.003, momentum=0.0)
    state = init(config, hparams, key, 2)
    if config.make_optimizer is _not_negative:
        state = state._replace(params=jax.tree.map(jnp.abs, state.params))
    batch = jnp.tile(x, (config.batch_size, 1)), jnp.tile(y, (config.batch_size, 1))
    state, _ = jax.lax.scan(
        lambda state, _: train_step(config, hparams, state, *batch), state, length=n_steps
    )
    return expected_loss(config.mlp, state.params, x, y, squared_error, rates)


def copies(size: Size) -> Found:
    """Expected losses [S] at the end, of signed weights and of weights ≥ 0."""
    losses = {}
    for name, make_optimizer in zip(COPIES, (_without_biases, _not_negative), strict=True):
        config = Config(
            MLP((16, 1)), batch_size=32, loss_fn=squared_error, make_optimizer=make_optimizer
        )
        train = partial(_train_on_copies, config, size.steps)
        losses[name] = np.asarray(jax.lax.map(train, keys_of(size.seeds)))
    return losses


MODELS: dict[str, Callable[[Size], Found]] = {
    "linear_regression": linear_regression,
    "linear_network": linear_network,
    "logistic_regression": logistic_regression,
    "last_layer": last_layer,
    "products": products,
    "copies": copies,
}
