"""Runs without pictures, for tests of something else: to draw them takes longest."""

import contextlib
from collections.abc import Iterator

import pytest

from dropout_jax.runs import write


@contextlib.contextmanager
def sketched() -> Iterator[None]:
    """Within it, or in a function that it decorates, figures are laid out but not written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "write_figure", lambda *given: given[2].draw_without_rendering())
        yield


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Within it, or in a function that it decorates, a run has no figures and an empty page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "figures", lambda _: {})
        patch.setattr(write, "page", lambda *_: "")
        yield
