"""What is expected of hyper-parameters, told before JAX is loaded."""

from typing import Any

_FLOAT32_MAX = 3.4e38
Expected = tuple[str, bool]  # what is expected, and whether it is met


def shown(value: Any) -> str:
    """A value as it is typed."""
    words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return words or "nothing"


def expected_of(name: str, value: Any, n_layers: int) -> Expected:
    """What is expected of a hyper-parameter, and whether its value is so."""
    if name == "rates":
        expected = f"hold {n_layers} rates in [0, 1], one for the input of each layer"
        return expected, len(value) == n_layers and all(0 <= rate <= 1 for rate in value)
    return {
        "learning_rate": ("be positive and finite", 0 < value < _FLOAT32_MAX),
        "momentum": ("lie in [0, 1)", 0 <= value < 1),
        "weight_decay": ("be finite and not negative", 0 <= value < _FLOAT32_MAX),
        "max_norm": ("be positive", value > 0),
    }[name]
