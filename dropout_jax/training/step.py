"""One step of the optimizer, as a function from a state to the next.

Shapes: B batch, D inputs, U units.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from dropout_jax.data import Array
from dropout_jax.networks.calls import training_pass
from dropout_jax.networks.mlp import layers
from dropout_jax.networks.protocol import Params
from dropout_jax.noise import check_key
from dropout_jax.training.config import Config, Hparams, as_arrays

NARROW = 64  # columns of a kernel, measured for batches of 32 to 512


class TrainState(NamedTuple):
    """A member between two steps. Its two keys are only folded into, never consumed."""

    params: Params
    opt_state: Any
    step: jax.Array
    shuffle_key: jax.Array
    dropout_key: jax.Array


def init(
    config: Config, hparams: Hparams, key: jax.Array, inputs: int | tuple[int, ...]
) -> TrainState:
    """A member before its first step. `key` is split into init, shuffle and dropout keys; consumed.

    Args:
      inputs: the shape of an example, or the number D of its inputs.

    Raises:
      TypeError: if `key` is not a typed key.
      ValueError: if there are no inputs.
    """
    check_key(key)
    hparams = as_arrays(hparams)
    init_key, shuffle_key, dropout_key = jax.random.split(key, 3)
    params = config.model.init(init_key, jnp.zeros(inputs))
    opt_state = config.make_optimizer(hparams).init(params)
    state = TrainState(params, opt_state, jnp.zeros((), jnp.int32), shuffle_key, dropout_key)
    return vary_like(state, (shuffle_key, hparams))


def vary_like(state: TrainState, others: Any) -> TrainState:
    """The same state, varying over every axis of a mesh that the others vary over.

    Inside `shard_map`, parameters that vary over fewer axes than their loss get the gradients
    summed over devices: members would share a bias. A comparison that is always true makes them
    vary, and the compiler removes it.

    Example:
      >>> state = TrainState(jnp.ones(2), (), 0, jax.random.key(1), jax.random.key(2))
      >>> print(vary_like(state, jnp.zeros(3)).params)
      [1. 1.]
    """
    true = jnp.array(True)
    for leaf in map(jnp.asarray, jax.tree.leaves(others)):
        true |= leaf.ravel()[0] == leaf.ravel()[0]
    params, opt_state, step = jax.tree.map(
        lambda leaf: jnp.where(true, leaf, leaf), (state.params, state.opt_state, state.step)
    )
    return state._replace(params=params, opt_state=opt_state, step=step)


def _batch_loss(
    config: Config,
    params: Params,
    x: jax.Array,
    y: jax.Array,
    key: jax.Array,
    rates: jax.Array | None,
) -> tuple[jax.Array, dict[str, Any]]:
    """Mean loss of a batch [B, D], [B], and what else the pass changes (`training_pass`)."""
    outputs, changed = training_pass(config.model, params, x, key, rates)
    return jnp.mean(jax.vmap(config.loss_fn)(outputs, y)), changed


def clip_columns(kernel: jax.Array, max_norm: float | Array) -> jax.Array:
    """A kernel [D, U] with every column scaled down to Euclidean norm `max_norm`, if it is longer.

    A column whose norm overflows, in float32 beyond some 10¹⁹, may become 0, or NaN if `max_norm`
    is infinite.

    Example:
      >>> print(clip_columns(jnp.array([[3.0, 0.3], [4.0, 0.4]]), 1.0).round(2))
      [[0.6 0.3]
       [0.8 0.4]]
    """
    norms = jnp.linalg.norm(kernel, axis=0, keepdims=True)
    return kernel * jnp.minimum(1, max_norm / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny))


def _clip_hidden_columns(params: Params, max_norm: float | Array) -> Params:
    """The parameters of an MLP with the kernels of its hidden layers clipped by `clip_columns`."""
    clipped = {
        f"layer_{l}": {**layer, "kernel": clip_columns(layer["kernel"], max_norm)}
        for l, layer in enumerate(layers(params)[:-1])
    }
    return {**params, "params": {**params["params"], **clipped}}


def _keep_narrow_transposed(grads: Params) -> Params:
    """The same gradients, with those of narrow kernels [in, out] computed as (gᵀx)ᵀ.

    XLA's CPU backend takes up to 8 times as long for xᵀg with few columns. A barrier keeps it from
    folding the transpose into that.
    """

    def keep(grad: jax.Array) -> jax.Array:
        narrow = grad.ndim == 2 and grad.shape[1] <= NARROW
        return jax.lax.optimization_barrier(grad.T).T if narrow else grad

    return jax.tree.map(keep, grads)


def train_step(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """One step of the optimizer on a batch [B, D], [B]: the next state, and the loss of the batch.

    The step's dropout key is fold_in(dropout_key, step).

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> hparams = Hparams()
      >>> state = init(config, hparams, jax.random.key(0), 64)
      >>> after, loss = train_step(config, hparams, state, jnp.ones((5, 64)), jnp.zeros(5, int))
      >>> print(state.step, after.step, after.params["params"]["layer_0"]["kernel"].shape)
      0 1 (64, 4)
    """
    return _train_step(config, as_arrays(hparams), state, x, y)


@partial(jax.jit, static_argnames="config")
def _train_step(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """`train_step`, compiled."""
    key = jax.random.fold_in(state.dropout_key, state.step)
    (loss, changed), grads = jax.value_and_grad(partial(_batch_loss, config), has_aux=True)(
        state.params, x, y, key, hparams.rates
    )
    grads = jax.lax.platform_dependent(
        grads, cpu=_keep_narrow_transposed, default=lambda grads: grads
    )
    optimizer = config.make_optimizer(hparams)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    if hparams.max_norm is not None:
        params = _clip_hidden_columns(params, hparams.max_norm)
    if changed:
        params = {**cast(dict[str, Any], params), **changed}
    trained = state._replace(params=params, opt_state=opt_state, step=state.step + 1)
    # Hyper-parameters are float32, and would make that of a state of lower precision.
    return jax.tree.map(lambda now, was: jnp.asarray(now, was.dtype), trained, state), loss
