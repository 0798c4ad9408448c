"""Measures of hidden units: how much rests on each, and how alike they are.

Multiply a unit's incoming weights and bias by a > 0, and its outgoing ones by 1/a. A ReLU network
and its dropout objective stay as they were, but every |w| involved changes. `contribution` and
`path_norm` do not. Dropout equalises them in linear networks.

Shapes: n examples, in inputs of the layer, U hidden units, O units they send to.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp

_assert_rank = partial(chex.assert_rank, exception_type=ValueError)


def _in_range(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Vectors over a power of two each, exactly, and these powers: squares stay in range.

    Half precision becomes single.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    largest = jax.lax.stop_gradient(jnp.abs(x).max(axis, keepdims=True, initial=0))
    power = largest / (2 * jnp.frexp(largest)[0])
    power = jnp.where(jnp.isfinite(power), power, 1)  # of 0, infinity and NaN
    return x / power, power.squeeze(axis)


def contribution(activations: jax.Array, outgoing: jax.Array) -> jax.Array:
    """cⱼ = rms(hⱼ) · ‖w_out,j‖ for every hidden unit [U].

    Dropout of activations h[n, U] before an output kernel W[U, O] adds λ/2 Σ c² to half the mean
    squared error, λ = rate / (1 - rate) (Arora et al. 2021; Zhang & Xu 2024).

    Raises:
      ValueError: if h and the kernel do not have the same units.

    Example:
      >>> h = jnp.array([[3.0, 0.0], [3.0, 0.0]])
      >>> print(contribution(h, jnp.array([[4.0], [5.0]])))  # 3 · 4, and 0: it is silent
      [12.  0.]
    """
    matrices = activations.ndim == outgoing.ndim == 2
    if not matrices or activations.shape[1] != outgoing.shape[0]:
        raise ValueError(
            "activations [n, U] and outgoing [U, O] must be of the same units, got shapes "
            f"{activations.shape} and {outgoing.shape}"
        )
    h, h_scale = _in_range(activations, 0)
    w, w_scale = _in_range(outgoing, 1)
    return jnp.sqrt(jnp.mean(h**2, axis=0)) * h_scale * (jnp.linalg.norm(w, axis=1) * w_scale)


def path_norm(incoming: jax.Array, bias: jax.Array, outgoing: jax.Array) -> jax.Array:
    """‖(w_in,j, bⱼ)‖ · ‖w_out,j‖ for every hidden unit [U], of kernels [in, U] and [U, O].

    The products that dropout makes equal in a linear network (Mianjy, Arora & Vidal 2018).

    Raises:
      ValueError: if the shapes are others.

    Example:
      >>> print(path_norm(jnp.array([[3.0]]), jnp.array([4.0]), jnp.array([[2.0]])))  # 5 · 2
      [10.]
    """
    rule = "incoming must be [in, U], bias [U], outgoing [U, O]"
    _assert_rank([incoming, bias, outgoing], [2, 1, 2], custom_message=rule)
    w_in, in_scale = _in_range(jnp.concatenate([incoming, bias[None]]), 0)
    w_out, out_scale = _in_range(outgoing, 1)
    norm_in = jnp.sqrt(jnp.sum(w_in[:-1] ** 2, axis=0) + w_in[-1] ** 2)
    return norm_in * in_scale * (jnp.linalg.norm(w_out, axis=1) * out_scale)


def mean_correlation(activations: jax.Array) -> jax.Array:
    """Mean |correlation| between the activations [n, U] of all pairs of units that vary.

    It is high where one unit's activation tells another's, as where both are active together, or
    never: a sign of co-adaptation. NaN for fewer than two.

    Raises:
      ValueError: if the activations are no matrix.

    Example:
      >>> print(mean_correlation(jnp.array([[0.0, 1.0], [1.0, 0.0]])))  # never both
      1.0
    """
    _assert_rank(activations, 2, custom_message="activations must be [n, U]")
    activations, _ = _in_range(activations, 0)
    centred = activations - activations.mean(axis=0, keepdims=True)
    return _mean_cosine(centred, jnp.any(activations != activations[:1], axis=0))


def mean_cosine(incoming: jax.Array) -> jax.Array:
    """Mean |cosine| between the incoming vectors of all pairs of units, of a kernel [in, U].

    It is high where units condense on few directions (Zhang & Xu 2024). NaN for fewer than two
    units that have incoming weights.

    Raises:
      ValueError: if the kernel is no matrix.

    Example:
      >>> print(mean_cosine(jnp.eye(2)))  # at right angles
      0.0
    """
    _assert_rank(incoming, 2, custom_message="incoming must be [in, U]")
    return _mean_cosine(incoming, jnp.any(incoming != 0, axis=0))


def _mean_cosine(columns: jax.Array, counts: jax.Array) -> jax.Array:
    """Mean |cosine| over all pairs of the columns that count."""
    columns, _ = _in_range(columns, 0)
    norms = jnp.linalg.norm(columns, axis=0)
    unit = jnp.where(counts[None], columns / jnp.where(counts, norms, 1)[None], 0)
    others = jnp.fill_diagonal(jnp.abs(unit.T @ unit), 0, inplace=False)
    n = counts.sum()
    return others.sum() / (n * (n - 1))  # of fewer than two 0 / 0
