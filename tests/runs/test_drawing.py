"""What many figures draw the same way."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from dropout_jax.runs import drawing


def labels_of_logarithmic_axis(bottom, top, height):
    """The numbers within an axis, which do not overlap."""
    figure = Figure(figsize=(3, height))
    axes = figure.subplots()
    axes.plot([bottom, top])
    drawing.log_scale(axes, (1, 2, 5))
    figure.draw_without_rendering()
    seen = [t for t in axes.get_yticklabels() if bottom <= t.get_position()[1] <= top]
    ends = [t.get_window_extent() for t in seen]
    assert all(low.y1 <= high.y0 for low, high in pairwise(ends))
    return [t.get_text() for t in seen]


@pytest.mark.parametrize("height", [1, 1.5, 2, 3, 5])
def test_labels_of_a_logarithmic_axis_do_not_overlap_and_1_is_among_them(height):
    assert "1" in labels_of_logarithmic_axis(0.02, 20, height)


@pytest.mark.parametrize("ends", [(1.42, 2.43), (2.2, 4.8), (0.31, 0.34)])
def test_a_short_logarithmic_axis_has_two_numbers_or_more(ends):
    assert len(labels_of_logarithmic_axis(*ends, height=2)) > 1
