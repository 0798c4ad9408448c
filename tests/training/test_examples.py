"""Which data a network can be trained on."""

from typing import Any

import pytest

from dropout_jax.training.examples import check_examples


def test_lists_are_no_arrays_of_examples():
    lists: Any = [[1.0]], [0]
    with pytest.raises(ValueError, match=r"x must be an array \[n, …\] .*, got list and list"):
        check_examples(*lists)
