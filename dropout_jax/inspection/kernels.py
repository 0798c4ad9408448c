"""Which tensors of a network are layers, and the layout of their kernels, inferred from names.

A kernel here is [in, out], as in the affine layers of Flax. A convolution is read as [window ·
in-channels, out-channels], a projection to the heads of attention as [in, heads · size].

Shapes: S networks (seeds) of a file.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from dropout_jax.analysis.views import Live
from dropout_jax.inspection.alive import all_alive, in_float32
from dropout_jax.inspection.tensors import Tensor

_LAYOUT_OF = {  # by a pattern for the whole last word of a name
    "in-out": r"(depthwise_|pointwise_)?kernel|w",  # Flax, Keras, Haiku
    "out-in": r"weight|weight_[ih]h(_l\d+(_reverse)?)?|(in|[qkv])_proj_weight",  # PyTorch, Equinox
}
_LAW_OF = {"in-out": "truncated normal", "out-in": "uniform"}  # usual initial laws there
_FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_BIASES = ("bias", "b", "scale", "offset", "mean", "var")  # also where they have axes of 1
_OF_OPTIMIZERS = ("opt_state", "optimizer", "optimizer_state")  # moments have the shapes of weights
_LOOKED_UP = ("wte", "wpe", "emb")  # embeddings that are not called so in full
_TRANSPOSED = re.compile(r"transpose|deconv|up_?conv", re.IGNORECASE)  # PyTorch's, [in, out, …]
_TO_HEADS = ("query", "key", "value")  # Flax's kernels of attention, [in, heads, size]
_WRAPPERS = ("value", "raw_value")  # what Flax NNX puts below the name of a parameter


class Layer(NamedTuple):
    """One affine layer or convolution of a file.

    Attributes:
      name: the name of its kernel.
      shape: [in, out].
      law: the usual law of its initial weights, inferred from the name.
      n_networks: S; 1 unless the file belongs to a run.
      read: returns what `Read` names, of network s.
    """

    name: str
    shape: tuple[int, int]
    law: str
    n_networks: int
    read: Callable[[int], "Read"]


class Read(NamedTuple):
    """A kernel [in, out] and e by `alive.in_float32`, and what of the kernel is alive."""

    kernel: np.ndarray
    live: Live
    exponent: int = 0


def layers_of(
    tensors: Sequence[Tensor], layout: str | None = None
) -> tuple[list[Layer], dict[str, str]]:
    """The layers among tensors, and for every other tensor the reason why it is none.

    Args:
      tensors: those of one file.
      layout: `in-out` or `out-in`, for all kernels; by default inferred from the names.

    Example:
      >>> weight = np.ones((10, 64), np.float32)  # [out, in], as PyTorch has it
      >>> (layer,), skipped = layers_of([Tensor("0.weight", (10, 64), "float32", lambda _: weight)])
      >>> print(layer.shape, skipped)
      (64, 10) {}
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    if run := _layers_of_run(by_name):
        return run, {}
    found, skipped = [], {}
    for tensor in sorted(tensors, key=_natural):
        words = _words(tensor.name)
        if why := _why_not(tensor, words, by_name):
            skipped[tensor.name] = why
        elif inferred := layout or _layout(words[-1]):
            found.append(_layer(tensor, words, inferred))
        else:
            skipped[tensor.name] = "not named as kernels are: give its layout with --layout"
    return found, skipped


def _layer(tensor: Tensor, words: Sequence[str], layout: str) -> Layer:
    """A tensor as a layer, its axes taken together to two."""
    if layout == "out-in" and len(tensor.shape) > 2 and _TRANSPOSED.search(".".join(words[:-1])):
        tensor = _with_outputs_first(tensor)
    n_first = _n_first_axes(tensor.shape, words, layout)
    first, last = math.prod(tensor.shape[:n_first]), math.prod(tensor.shape[n_first:])
    shape = (first, last) if layout == "in-out" else (last, first)
    read = partial(_read, tensor, (first, last), layout)
    return Layer(tensor.name, shape, _LAW_OF[layout], 1, read)


def _with_outputs_first(tensor: Tensor) -> Tensor:
    """The kernel [in, out, …] of a transposed convolution as [out, in, …], as others are."""

    def read(row: int | None) -> np.ndarray:
        kernel = np.swapaxes(tensor.read(None), 0, 1)
        return kernel if row is None else kernel[row]

    n_in, n_out, *window = tensor.shape
    return tensor._replace(shape=(n_out, n_in, *window), read=read)


def _words(name: str) -> list[str]:
    """The steps of a name, down to that of the parameter."""
    words = re.split(r"[./]", name)
    return words[:-1] if words[-1] in _WRAPPERS and len(words) > 1 else words


def _layout(word: str) -> str | None:
    """The layout of a kernel, inferred from the last word of its name; None if no kernel's."""
    return next((layout for layout, of in _LAYOUT_OF.items() if re.fullmatch(of, word)), None)


def _n_first_axes(shape: tuple[int, ...], words: Sequence[str], layout: str) -> int:
    """How many of the first axes are taken as one: the inputs, or with `out-in` the outputs."""
    to_heads = words[-1] == "kernel" and len(words) > 1 and words[-2] in _TO_HEADS
    if layout == "out-in" or (to_heads and len(shape) == 3):
        return 1
    by_channel = len(shape) > 2 and any("depthwise" in word.lower() for word in words)
    return len(shape) - (2 if by_channel else 1)  # each channel has a window of its own


def _natural(tensor: Tensor) -> list[tuple[bool, int, str]]:
    """A key for sorting by which layer 10 follows layer 9."""
    parts = re.split(r"(\d+)", tensor.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _why_not(tensor: Tensor, words: Sequence[str], others: Mapping[str, Tensor]) -> str | None:
    """Why a tensor is no kernel; None if it may be one."""
    *above, last = words
    if any(word in _OF_OPTIMIZERS for word in above):
        return "state of an optimizer"
    if tensor.dtype not in _FLOATS:
        return f"of type {tensor.dtype}, not of {', '.join(_FLOATS)}"
    if len(tensor.shape) < 2 or last in _BIASES:
        return "a vector or a number, as biases and scales are"
    if _is_embedding(words, len(tensor.shape)):
        return "an embedding: its rows are looked up, not summed"
    if math.prod(tensor.shape) < 2:
        return f"of shape {tensor.shape}: nothing to compare"
    if any(
        name.startswith(f"{tensor.name}_scale") and math.prod(other.shape) > 1
        for name, other in others.items()
    ):
        return "quantized: its parts have scales of their own"
    return None


def _is_embedding(words: Sequence[str], n_axes: int) -> bool:
    """Whether a tensor is a table of rows to look up, rather than a kernel that embeds patches."""
    *above, last = words
    table = n_axes == 2 and last == "weight" and above
    return "embed" in last.lower() or bool(
        table and ("embed" in above[-1].lower() or above[-1].split("_")[-1] in _LOOKED_UP)
    )


def _read(tensor: Tensor, size: tuple[int, int], layout: str, _: int) -> Read:
    single, exponent = in_float32(np.asarray(tensor.read(None)))
    kernel = single.reshape(size) if layout == "in-out" else single.reshape(size).T
    return Read(kernel, all_alive(kernel), exponent)


def _layers_of_run(tensors: Mapping[str, Tensor]) -> list[Layer]:
    """The layers of `weights.safetensors` of a run, each with S seeds, without what is dead.

    Such a file has `{condition}/{layer}/kernel` beside `{condition}/{layer}/live_inputs`.
    """
    found = []
    for name, tensor in tensors.items():
        named = re.fullmatch(r"([^/]+)/(\d+)/kernel", name)
        live = tensors.get(f"{named[1]}/{named[2]}/live_inputs") if named else None
        if named and live and len(tensor.shape) == 3:
            following = tensors.get(f"{named[1]}/{int(named[2]) + 1}/live_inputs")
            read = partial(_read_of_run, tensor, live, following)
            n_seeds, n_in, n_out = tensor.shape
            found.append(Layer(name, (n_in, n_out), _LAW_OF["in-out"], n_seeds, read))
    return found


def _read_of_run(tensor: Tensor, inputs: Tensor, outputs: Tensor | None, s: int) -> Read:
    kernel, exponent = in_float32(tensor.read(s))
    live = all_alive(kernel)._replace(inputs=inputs.read(s).astype(bool))
    live = live if outputs is None else live._replace(outputs=outputs.read(s) != 0)
    return Read(kernel, live, exponent)
