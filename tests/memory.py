"""A bound on the memory that Python takes for a while."""

import contextlib
import tracemalloc
from collections.abc import Iterator


@contextlib.contextmanager
def memory_below(n_bytes: int) -> Iterator[None]:
    """No more memory may be taken at any time inside."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n_bytes, f"{peak:,} bytes were taken"
