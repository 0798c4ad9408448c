"""Which arrays of a network are kernels, by their names and shapes, and each as a matrix [in, out].

A convolution is read as [window · in-channels, out-channels], a projection to the heads of
attention as [in, heads · size].
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.networks.kernel_names import kernel_layout, name_parts
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.networks.protocol import Network, Params

_FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_BIASES = ("bias", "b", "scale", "offset", "mean", "var")  # also where they have axes of 1
_OF_OPTIMIZERS = (  # their moments have the shapes of weights, and the names
    *("opt", "opt_state", "optimizer", "optimizer_state"),
    *("nu", "trace"),  # of optax; `mu` is a layer, too, as in variational autoencoders
)
_LOOKED_UP = ("wte", "wpe", "emb", "bag")  # embeddings that are not called so in full
_CHANNELS = {"in-out": (-1, -2), "out-in": (0, 1)}  # axes out and in, unless transposed
_TRANSPOSED = {  # what names convolutions whose channels are the other way round
    "in-out": r"d_transpose",  # Keras, Haiku; Flax's ConvTranspose is as other convolutions
    "out-in": r"(?i)transpose|deconv|up_?conv",  # PyTorch
}
_TO_HEADS = r"(query|key|value)(_dense)?"  # kernels of attention, [in, heads, size]
_KERNEL_WORD = r"(kernel|weight|w)(?=([./](raw_)?value)?$)"  # the last one of a path
_BIAS_OF = {"kernel": "bias", "weight": "bias", "w": "b"}


def arrays_of(params: Any) -> dict[str, jax.Array | np.ndarray]:
    """The arrays of numbers in a tree, by their path, without keys and other leaves."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if isinstance(leaf, jax.Array | np.ndarray)
        and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    }


def kernels_in(params: Any, n_leading: int = 0) -> dict[str, Any]:
    """The kernels [in, out] in a tree of arrays, by their paths; layer 10 follows layer 9.

    Embeddings, biases, scales of norms and running averages are none, nor is what is not named as
    kernels are. `n_leading` axes, such as conditions and seeds, lead in every array, and stay.
    """
    leaves = arrays_of(params)
    shapes = {name: leaf.shape[n_leading:] for name, leaf in leaves.items()}
    return {
        name: as_matrix(name, leaves[name], layout, shapes, n_leading)
        for name in sorted(leaves, key=natural_key)
        if (layout := kernel_layout(name))
        and not reason_not_kernel(name, str(leaves[name].dtype), shapes)
    }


def layers_in(model: Network, params: Params, n_leading: int = 0) -> list[dict[str, Any]]:
    """The layers of a network: kernel and bias in an MLP, the kernel alone in any other.

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), jnp.zeros(4))
      >>> print([layer["kernel"].shape for layer in layers_in(model, params)])
      [(4, 3), (3, 2)]
    """
    if isinstance(model, MLP):
        return layers(params)
    return [{"kernel": kernel} for kernel in kernels_in(params, n_leading).values()]


def as_matrix(
    name: str,
    kernel: Any,
    layout: str,
    shapes: Mapping[str, tuple[int, ...]],
    n_leading: int = 0,
) -> Any:
    """A kernel of any framework as [in, out], its axes taken together to two.

    Its outputs are the axes that its bias has, too, or those usual for its path. The path names
    transposed or depthwise convolutions, and attention. The layout is `in-out` or `out-in`;
    `n_leading` axes lead, and stay. `shapes` are those of all arrays beside it, by name.

    Example:
      >>> print(as_matrix("0.weight", np.ones((10, 64)), "out-in", {}).shape)  # PyTorch's
      (64, 10)
    """
    leading, shape = kernel.shape[:n_leading], kernel.shape[n_leading:]
    beside = re.sub(_KERNEL_WORD, lambda found: _BIAS_OF[found[0]], name)
    bias = shapes.get(beside, ()) if beside != name else ()
    axes = _outputs_by_bias(shape, layout, bias) or _outputs_by_name(shape, layout, name)
    outputs = sorted(axis % len(shape) for axis in axes)
    inputs = [axis for axis in range(len(shape)) if axis not in outputs]
    order = (*range(n_leading), *(n_leading + axis for axis in (*inputs, *outputs)))
    n_in, n_out = (math.prod(shape[axis] for axis in axes) for axes in (inputs, outputs))
    return kernel.transpose(order).reshape(*leading, n_in, n_out)


def _outputs_by_bias(
    shape: tuple[int, ...], layout: str, bias: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The output axes, which the bias shares; None if the bias does not tell them."""
    if layout == "out-in" and len(bias) > 1:
        return (0,)  # Equinox's, [out, in, …] everywhere
    if 1 < len(bias) < len(shape) and shape[-len(bias) :] == bias:
        return tuple(range(-len(bias), 0))
    usual, other = _CHANNELS[layout]
    if len(bias) != 1 or len(shape) < 3 or bias[0] == shape[usual] == shape[other]:
        return None
    by_size = {
        shape[usual] * shape[other]: (usual, other),  # each channel has a window of its own
        shape[other]: (other,),
        shape[usual]: (usual,),
    }
    return by_size.get(bias[0])


def _outputs_by_name(shape: tuple[int, ...], layout: str, name: str) -> tuple[int, ...]:
    """The axes of the outputs that are usual for a kernel with such a path."""
    usual, other = _CHANNELS[layout]
    words = name_parts(name)
    if layout == "in-out":
        by_channel = len(shape) > 2 and any("depthwise" in word.lower() for word in words)
        to_heads = words[-1] == "kernel" and re.fullmatch(_TO_HEADS, "".join(words[-2:-1]))
        if by_channel or (to_heads and len(shape) == 3):
            return (usual, other)
    transposed = len(shape) > 2 and re.search(_TRANSPOSED[layout], ".".join(words[:-1]))
    return (other if transposed else usual,)


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """A key for sorting by which layer 10 follows layer 9.

    Example:
      >>> print(natural_key("layer_9") < natural_key("layer_10"))
      True
    """
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def reason_not_kernel(name: str, dtype: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Why an array is no kernel; None if it may be one.

    Its name is a path; `shapes` are those of all arrays beside it and its own, by name.

    Example:
      >>> print(reason_not_kernel("fc.bias", "float32", {"fc.bias": (3,)}))
      a vector or a number, as biases and scales are
    """
    *above, last = name_parts(name)
    shape = shapes[name]
    twin = re.sub(r"\bmu\b", "nu", name, count=1)  # Adam's other moment
    if (twin != name and twin in shapes) or any(word in _OF_OPTIMIZERS for word in above):
        return "state of an optimizer"
    if dtype not in _FLOATS:
        return f"of type {dtype}, not of {', '.join(_FLOATS)}"
    if len(shape) < 2 or last in _BIASES:
        return "a vector or a number, as biases and scales are"
    if _is_embedding([*above, last], len(shape)):
        return "an embedding: its rows are looked up, not summed"
    if math.prod(shape) < 2:
        return f"of shape {shape}: nothing to compare"
    if any(key.startswith(f"{name}_scale") and math.prod(of) > 1 for key, of in shapes.items()):
        return "quantized: its parts have scales of their own"
    return None


def _is_embedding(words: list[str], n_axes: int) -> bool:
    """Whether an array is a table of rows to look up, rather than a kernel that embeds patches."""
    *above, last = words
    table = n_axes == 2 and last == "weight" and above
    return "embed" in last.lower() or bool(
        table and ("embed" in above[-1].lower() or above[-1].split("_")[-1] in _LOOKED_UP)
    )
