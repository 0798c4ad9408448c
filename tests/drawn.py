"""What tests draw, most of it bad. It needs no JAX, as some processes of tests do not."""

import numpy as np
from hypothesis import strategies as st

NOT_NUMBERS = ["half", "", None, 1j, b"1", (), {}, object(), [[0.5], [0.5, 0.1]]]
anything = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.sampled_from(NOT_NUMBERS),
    st.lists(st.floats(width=32), max_size=3),
)
dtypes = st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.uint8, bool, "c8"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
