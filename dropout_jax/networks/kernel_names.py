"""Which parameters are kernels, and their layout, inferred from their names."""

import re

_KERNEL_NAMES = {  # by layout, a pattern for the whole last word of a name
    "in-out": r"(depthwise_|pointwise_|recurrent_)?kernel|w",  # Flax, Keras, Haiku
    "out-in": r"weight|weight_[ih]h(_l\d+(_reverse)?)?|(in|[qkv])_proj_weight",  # PyTorch, Equinox
}
_WRAPPERS = ("value", "raw_value")  # what Flax NNX puts below the name of a parameter


def name_parts(name: str) -> list[str]:
    """The steps of a name, down to that of the parameter.

    Example:
      >>> print(name_parts("params.Conv_0/kernel.value"))
      ['params', 'Conv_0', 'kernel']
    """
    words = re.split(r"[./]", name)
    return words[:-1] if words[-1] in _WRAPPERS and len(words) > 1 else words


def kernel_layout(name: str) -> str | None:
    """The layout of a kernel, inferred from the last word of its name; None if no kernel's.

    Example:
      >>> print(kernel_layout("params.Conv_0.kernel"), kernel_layout("fc.bias"))
      in-out None
    """
    word = name_parts(name)[-1]
    found = (layout for layout, names in _KERNEL_NAMES.items() if re.fullmatch(names, word))
    return next(found, None)
