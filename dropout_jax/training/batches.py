"""Batches of an epoch: a random permutation of the examples, cut into rows.

Shapes: n examples.
"""

import jax
import jax.numpy as jnp


def batch_indices(key: jax.Array, n: int, batch_size: int) -> jax.Array:
    """The batches of one epoch [n // batch_size, batch_size]: a random permutation of 0 … n - 1.

    Examples that do not fill a batch are left out of the epoch. n is at most 2^24, as
    `checks.check_training` asks. The key is consumed.
    """
    n_batches = n // batch_size
    return _permutation(key, n)[: n_batches * batch_size].reshape(n_batches, batch_size)


def _permutation(key: jax.Array, n: int) -> jax.Array:
    """A random permutation of 0 … n - 1: a radix sort of random numbers.

    `jax.random.permutation` sorts pairs, which takes XLA's CPU backend five times as long as single
    words. Here a word holds the index below random bits, and each round sorts by one digit of a
    longer random number. With 3 log2 n bits of it, the chance of any tie is below 1 / 2n.
    """
    index_bits = max(n - 1, 1).bit_length()
    n_rounds = -(-3 * index_bits // (32 - index_bits))
    index = order = jnp.arange(n, dtype=jnp.uint32)
    for digits in jax.random.bits(key, (n_rounds, n), jnp.uint32):
        words = jnp.sort((digits >> index_bits << index_bits) | index)
        order = order[words & ((1 << index_bits) - 1)]
    return order.astype(jnp.int32)
