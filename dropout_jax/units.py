"""How much rests on each hidden unit: measures that rescaling a ReLU unit cannot change.

Multiplying a unit's incoming weights and bias by a and its outgoing ones by 1/a leaves a ReLU
network, and its dropout objective, as they were, but changes every |w| involved. These two do not
change, and they are what dropout is known to equalise in linear networks.

Shapes: n examples, in, U hidden units, O units they send to.
"""

import jax
import jax.numpy as jnp


def contribution(activations: jax.Array, outgoing: jax.Array) -> jax.Array:
    """cⱼ = rms(hⱼ) · ‖w_out,j‖ for every hidden unit [U].

    Dropout of activations h[n, U] before an output kernel W[U, O] adds λ/2 Σ c² to half the mean
    squared error, λ = rate / (1 - rate) (Arora et al. 2021; Zhang & Xu 2024).
    """
    rms = jnp.sqrt(jnp.mean(activations**2, axis=0))
    return rms * jnp.linalg.norm(outgoing, axis=1)


def path_norm(incoming: jax.Array, bias: jax.Array, outgoing: jax.Array) -> jax.Array:
    """‖(w_in,j, bⱼ)‖ · ‖w_out,j‖ for every hidden unit [U], of kernels [in, U] and [U, O].

    The products that dropout makes equal in a linear network (Mianjy, Arora & Vidal 2018).
    """
    norm_in = jnp.sqrt(jnp.sum(incoming**2, axis=0) + bias**2)
    return norm_in * jnp.linalg.norm(outgoing, axis=1)
