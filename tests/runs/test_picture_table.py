"""The picture-table: its marks and its numbers."""

import pytest

from dropout_jax.runs.picture_table import picture
from tests.runs.answers import LESS, MORE, OPEN, SAME, summary


@pytest.mark.parametrize(("n", "why"), [(8, "too few live units in a seed"), (0, "diverged")])
def test_where_a_difference_is_missing_is_said_why(n, why):
    told = summary([OPEN], [OPEN] * 2, n)
    told["comparisons"][0]["difference"] = None  # as JSON has it
    assert picture(told)["b", 0]["contributions"].text == why
    assert picture(told)["b", 1]["weights"].text == "+0.100"


def test_the_picture_shows_two_views_of_the_gini_each_with_mark_and_difference():
    table = picture(summary([MORE, "negligibly less uniform"], [LESS, OPEN, MORE]))
    assert list(table) == [("b", 0), ("b", 1), ("b", 2)]
    assert table["b", 1]["contributions"] == (SAME, "≈", "+0.100")
    assert table["b", 2] == {"weights": (MORE, "▲", "+0.200")}
