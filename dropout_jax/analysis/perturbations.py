"""Perturbations of the input, to test how robust a trained network is.

Each is a function of (key, x, strength) for ONE input x [D], which the caller vmaps. At strength 0
it is the identity; the strength may be traced. Random ones consume the key, others ignore it.
Pictures are flattened squares, in [0, 1].

Shapes: D inputs.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def gaussian_noise(key: jax.Array, x: jax.Array, strength: ArrayLike) -> jax.Array:
    """Adds strength · N(0, 1) to each entry.

    Example:
      >>> noisy = gaussian_noise(jax.random.key(0), jnp.zeros(10_000), 0.5)
      >>> print(noisy.std().round(1))
      0.5
    """
    return x + strength * jax.random.normal(key, x.shape)


def drop_pixels(key: jax.Array, x: jax.Array, strength: ArrayLike) -> jax.Array:
    """Sets a fraction `strength` of the entries, on average, to 0.

    Unlike dropout in training, it does not scale up the entries that are left.

    Example:
      >>> print(drop_pixels(jax.random.key(0), jnp.ones(10_000), 0.3).mean().round(1))
      0.7
    """
    return jnp.where(jax.random.uniform(key, x.shape) < strength, 0, x)


def shift(key: jax.Array, x: jax.Array, strength: ArrayLike) -> jax.Array:
    """Moves the picture by `strength` whole pixels in one of four directions; zeros come in.

    Raises:
      ValueError: if x is not a flattened square.

    Example:
      >>> picture = jnp.zeros(9).at[4].set(1.0)  # a dot in the middle
      >>> print(shift(jax.random.key(0), picture, 1).reshape(3, 3))
      [[0. 0. 0.]
       [0. 0. 0.]
       [0. 1. 0.]]
    """
    side = math.isqrt(x.size)
    if x.shape != (side * side,):
        raise ValueError(f"a shift needs a flattened square picture, got shape {x.shape}")
    direction = jnp.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[jax.random.randint(key, (), 0, 4)]
    rows, columns = direction * jnp.asarray(strength, jnp.int32)
    framed = jnp.pad(x.reshape(side, side), side)
    moved = jax.lax.dynamic_slice(framed, (side + rows, side + columns), (side, side))
    return moved.ravel()


def dimmed(key: jax.Array, x: jax.Array, strength: ArrayLike) -> jax.Array:
    """Scales the intensity: (1 - strength) x.

    Example:
      >>> print(dimmed(jax.random.key(0), jnp.array([0.0, 1.0]), 0.25))
      [0.   0.75]
    """
    del key
    return (1 - jnp.asarray(strength)) * x


def background(key: jax.Array, x: jax.Array, strength: ArrayLike) -> jax.Array:
    """Adds a constant to every pixel: x + strength, which may exceed 1.

    Example:
      >>> print(background(jax.random.key(0), jnp.array([0.0, 1.0]), 0.25))
      [0.25 1.25]
    """
    del key
    return x + jnp.asarray(strength)


def reduce_contrast(key: jax.Array, x: jax.Array, strength: ArrayLike) -> jax.Array:
    """Draws x towards its mean: (1 - strength) x + strength · mean(x).

    It is `dimmed` and a `background` of strength · mean(x), both at once.

    Example:
      >>> print(reduce_contrast(jax.random.key(0), jnp.array([0.0, 1.0]), 0.5))
      [0.25 0.75]
    """
    del key
    strength = jnp.asarray(strength)
    return (1 - strength) * x + strength * x.mean()
