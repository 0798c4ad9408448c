"""What theory says of dropout: expectations over all masks, penalties, optima.

The penalties of a sigmoid and of a softmax are of second order; all else is exact.
λ = rate / (1 - rate) is the variance of an inverted mask.

Shapes: n examples, D features, O outputs, U hidden units, r units of a linear network.
"""

from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from dropout_jax.analysis.ensemble import all_masks, mask_probabilities
from dropout_jax.networks.mlp import MLP, Params, as_rates, layers


def variance(rate: ArrayLike) -> jax.Array:
    """λ = rate / (1 - rate), the variance of an inverted mask; infinite at rate 1.

    Example:
      >>> print(variance(jnp.array([0.2, 0.5, 0.8])).round(2))
      [0.25 1.   4.  ]
    """
    rate = jnp.asarray(rate)
    rate = rate.astype(jnp.promote_types(rate.dtype, jnp.float32))
    return rate / (1 - rate)


def expected_loss(
    model: MLP,
    params: Params,
    x: jax.Array,
    y: jax.Array,
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array],
    rates: Sequence[float],
) -> jax.Array:
    """The mean loss over all masks, which training with dropout minimises; differentiable.

    `loss_fn` is that of one example, a function of (outputs, label), for inputs x [n, D] and labels
    or targets y [n, …]. All masks of the layers with a rate above 0 are enumerated, so these may
    have at most 20 inputs in all.

    Raises:
      ValueError: if the model's noise is another, there is not one rate in [0, 1) for each layer,
        or more than 20 inputs in all.

    Example:
      >>> params = {"params": {"layer_0": {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}}}
      >>> x, y = jnp.array([[1.0, 1.0]]), jnp.array([[2.0]])
      >>> loss = expected_loss(MLP((1,)), params, x, y, lambda p, t: jnp.sum((p - t) ** 2), (0.5,))
      >>> print(loss.round(3))  # outputs 0, 2, 2 and 4: (4 + 0 + 0 + 4) / 4
      2.0
    """
    if model.noise is not MLP.noise or model.noise_on_kernels:  # dropout, of inputs
        raise ValueError("the noise of the model must be dropout of inputs, got another")
    as_rates(rates, len(model.features))
    if max(rates) >= 1:
        raise ValueError(f"rates must be below 1 to enumerate what is kept, got {rates}")
    affine = layers(params)
    widths = [layer["kernel"].shape[0] for layer in affine]
    dropped = [width if rate else 0 for width, rate in zip(widths, rates, strict=True)]
    masks = all_masks(sum(dropped))
    kept = np.split(masks, np.cumsum(dropped)[:-1], axis=1)
    scales = [
        mask / (1 - rate) if rate else np.ones((len(masks), width))
        for mask, rate, width in zip(kept, rates, widths, strict=True)
    ]
    probability = mask_probabilities(masks, np.repeat(rates, dropped))

    def mean_loss(scales: list[jax.Array]) -> jax.Array:
        masked = {  # (h∘m) W = h (diag(m) W)
            f"layer_{l}": {**layer, "kernel": layer["kernel"] * scale[:, None]}
            for l, (layer, scale) in enumerate(zip(affine, scales, strict=True))
        }
        outputs = cast(jax.Array, model.apply({**params, "params": masked}, x))
        return jax.vmap(loss_fn)(outputs, y).mean()

    return probability @ jax.vmap(mean_loss)([jnp.asarray(s, jnp.float32) for s in scales])


def dropout_penalty(x: jax.Array, rate: ArrayLike) -> jax.Array:
    """What dropout of features adds to squared error, per wⱼ²: λ ‖Xⱼ‖² [D].

    E‖y - (X∘m) w‖² = ‖y - X w‖² + λ Σⱼ wⱼ² ‖Xⱼ‖² for inverted masks m (Srivastava et al. 2014,
    §9.1; Wager, Wang & Liang 2013). The columns of X [n, D] are not centred for their norms.

    Example:
      >>> print(dropout_penalty(jnp.array([[10.0, 1.0]]), 0.5))
      [100.   1.]
    """
    return variance(rate) * jnp.sum(x**2, axis=0)


def ridge(x: jax.Array, y: jax.Array, penalty: ArrayLike) -> jax.Array:
    """The minimiser [D] of ‖y - X w‖² + Σⱼ penaltyⱼ wⱼ², for X [n, D], y [n] and a penalty > 0.

    With `dropout_penalty` it is what linear regression with dropout tends to, with one number what
    an L2 penalty gives. The two are the same if all columns have the same norm.

    Example:
      >>> x, y = jnp.array([[10.0, 1.0]]), jnp.array([11.0])
      >>> w = ridge(x, y, dropout_penalty(x, 0.5))
      >>> print((x[0] * w).round(3))  # dropout makes the contributions equal, 11 / (2 + λ)
      [3.667 3.667]
    """
    penalty = jnp.broadcast_to(jnp.asarray(penalty, jnp.float32), x.shape[1:])
    return jnp.linalg.solve(x.T @ x + jnp.diag(penalty), x.T @ y)


def logistic_penalty(x: jax.Array, w: jax.Array, rate: ArrayLike) -> jax.Array:
    """½ λ Σⱼ wⱼ² Σᵢ sᵢ (1 - sᵢ) xᵢⱼ², s = sigmoid(X w): what dropout adds to logistic regression.

    It is of second order in the contributions xᵢⱼ wⱼ, and summed over examples (Wager, Wang & Liang
    2013, §3). It is exact as these go to 0, not as the rate does.

    Example:
      >>> print(logistic_penalty(jnp.array([[2.0]]), jnp.array([0.0]), 0.5))
      0.0
    """
    s = jax.nn.sigmoid(x @ w)
    return variance(rate) / 2 * jnp.sum(w**2 * jnp.sum((s * (1 - s))[:, None] * x**2, axis=0))


def output_penalty(contributions: jax.Array, rate: ArrayLike) -> jax.Array:
    """λ Σⱼ cⱼ²: what dropout of the last hidden layer adds to the mean squared error.

    Contributions [U] are those of `units.contribution`. It holds for any activation, as the output
    is linear in what is dropped (Arora et al. 2021; Zhang & Xu 2024).

    Example:
      >>> print(output_penalty(jnp.array([3.0, 4.0]), 0.5))
      25.0
    """
    return variance(rate) * jnp.sum(contributions**2)


def softmax_penalty(
    hidden: jax.Array, kernel: jax.Array, bias: jax.Array, rate: ArrayLike
) -> jax.Array:
    """½ λ mean over n of Σⱼ hₙⱼ² wⱼᵀ Hₙ wⱼ: what dropout before a softmax adds to cross entropy.

    hₙ are activations [n, U], and wⱼ the rows of the output kernel [U, O]. Hₙ = diag(p) - p pᵀ is
    the curvature of the loss in the logits, p the softmax of h W + b. The penalty is of second
    order in the contributions hₙⱼ wⱼ (Wager, Wang & Liang 2013, §2). Where the network is sure, H
    is small: the penalty falls, though the contributions of `output_penalty` do not.

    Example:
      >>> h, kernel, bias = jnp.ones((1, 1)), jnp.array([[2.0, 0.0]]), jnp.array([-2.0, 0.0])
      >>> print(softmax_penalty(h, kernel, bias, 0.5))  # p is ½: ½ · ¼ · 2²
      0.5
    """
    p = jax.nn.softmax(hidden @ kernel + bias[None])
    curvature = p @ kernel.T**2 - (p @ kernel.T) ** 2  # wⱼᵀ Hₙ wⱼ, [n, U]
    return variance(rate) / 2 * jnp.mean(jnp.sum(hidden**2 * curvature, axis=1))


def linear_network_optimum(
    target: jax.Array, n_units: int, rate: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """The product U Vᵀ that dropout of r hidden units makes of M [O, D], and every ‖uᵢ‖ ‖vᵢ‖.

    For whitened inputs, E‖M - U diag(m) Vᵀ‖² = ‖M - U Vᵀ‖² + λ Σᵢ ‖uᵢ‖² ‖vᵢ‖² (Mianjy, Arora &
    Vidal 2018; Cavazza et al. 2018). At every global optimum all units have ‖uᵢ‖ ‖vᵢ‖ = ‖X‖_* / r.
    The singular values of X = U Vᵀ are those of M soft-thresholded at α = λ ρ κ / (r + λ ρ). Here κ
    is the mean of the ρ largest, and ρ is the largest number of them that exceed their own α.

    Example:
      >>> product, of_unit = linear_network_optimum(jnp.diag(jnp.array([3.0, 3.0])), 2, 0.5)
      >>> print(jnp.diag(product).round(2), of_unit.round(2))  # 3 - α, α = 1 · 2 · 3 / (2 + 2)
      [1.5 1.5] 1.5
    """
    left, s, right = jnp.linalg.svd(target, full_matrices=False)
    s = jnp.where(jnp.arange(len(s)) < n_units, s, 0)
    j = jnp.arange(1, len(s) + 1)
    thresholds = variance(rate) * jnp.cumsum(s) / (n_units + variance(rate) * j)
    n_kept = jnp.max(jnp.where(s > thresholds, j, 0))
    shrunk = jnp.maximum(s - thresholds[jnp.maximum(n_kept, 1) - 1], 0)
    return (left * shrunk[None]) @ right, shrunk.sum() / n_units


def soft_threshold(target: jax.Array, threshold: ArrayLike) -> jax.Array:
    """M [O, D] with its singular values lowered by `threshold`, but not below 0.

    At threshold μ it is the product U Vᵀ that least squares makes of M under an L2 penalty
    μ (‖U‖² + ‖V‖²) (Srebro, Rennie & Jaakkola 2005). The units may share it in any way.

    Example:
      >>> print(jnp.diag(soft_threshold(jnp.diag(jnp.array([3.0, 1.0])), 2.0)).round(2))
      [1. 0.]
    """
    left, s, right = jnp.linalg.svd(target, full_matrices=False)
    return (left * jnp.maximum(s - threshold, 0)[None]) @ right
