"""The colours, lines and marks of conditions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.runs import style


@given(
    st.lists(st.sampled_from(["none", "dropout", "dropout .5", "l2", "L2", "a", "b"]), unique=True)
)
def test_conditions_differ_in_colour_and_the_usual_ones_keep_theirs(names):
    colours = {handle.get_label(): handle.get_color() for handle in style.legend(names)}
    assert len(set(colours.values())) == len(names) or len(names) > len(style.COLOURS)
    for c, (name, other) in enumerate((("none", ""), ("dropout", "dropout .5"), ("l2", "L2"))):
        if (name in names) != (other in names):
            assert colours[name if name in names else other] == style.COLOURS[c]


def test_no_condition_of_a_long_sweep_has_the_colour_of_another():
    rates = (f"dropout 0.{k}" for k in range(1, 10))
    names = ["none", *rates, "l2", "max-norm"]
    colours = {h.get_label(): h.get_color() for h in style.legend(names)}
    assert len(set(list(colours.values())[:11])) == 11
    assert list(colours.values()).count(colours["none"]) == 1
    assert list(colours.values()).count(colours["l2"]) == 1


@pytest.mark.parametrize(("look", "n"), [(style.line, 39), (style.marker, 21)])
def test_conditions_are_told_apart_by_colour_and_line_or_mark(look, n):
    assert len({(style.colour(c), look(c)) for c in range(n)}) == n


def test_a_rate_of_the_lecture_has_one_colour_in_every_sweep():
    whole = style.condition_numbers(["none", "dropout 0.2", "dropout 0.5", "dropout 0.8", "l2"])
    for name, c in whole.items():
        assert style.condition_numbers(["none", name])[name] == c
        assert (
            style.condition_numbers(["none", name.replace("0.", ".")])[name.replace("0.", ".")] == c
        )
