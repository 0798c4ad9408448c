"""Figures and the page of the layers of any networks."""

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from dropout_jax.analysis.uniformity import Profile
from dropout_jax.runs.layers_page import InitialLaw, LayersShown, Table, figures, page
from dropout_jax.runs.svg import inline_svg

EVIL = "<img src=x onerror=alert(1)>"
LAYERS = ["first.kernel", EVIL, "encoder.blocks.2.attention.projection.kernel"]


def profile(rng, n_networks):
    relative = np.sort(rng.gamma(2, size=(n_networks, 101)))
    relative /= relative.mean(axis=1, keepdims=True)
    lorenz = np.cumsum(relative, axis=1) / relative.sum(axis=1, keepdims=True)
    return Profile(relative, lorenz)  # pyright: ignore[reportArgumentType]  NumPy's, as drawn


def layers_shown(sizes=(3, 2), compared=True):
    """Groups of so many networks; in the last group the second layer is missing."""
    rng = np.random.default_rng(0)
    names = [f"group {i}" for i in range(len(sizes))]
    profiles = {layer: [profile(rng, size) for size in sizes] for layer in LAYERS}
    nothing = np.full((1, 101), np.nan)
    profiles[EVIL][-1] = Profile(nothing, nothing)  # pyright: ignore[reportArgumentType]  as above
    gini = {name: rng.uniform(0.3, 0.5, (size, 3)) for name, size in zip(names, sizes, strict=True)}
    gini[names[-1]][:, 1] = np.nan
    law = profile(rng, 1)
    row = {"condition": "against", "difference": -0.1, "ci_low": -0.2, "ci_high": -0.05}
    views = ("all weights", "of one unit")
    return LayersShown(
        groups={name: [f"{name}.npz"] for name in names},
        lines=gini,
        starts={
            name: InitialLaw("uniform", Profile(law.relative[0], law.lorenz[0]), 1 / 3)
            for name in LAYERS
        },
        profiles=profiles,
        differences=[
            row | {"layer": layer, "view": view, "verdict": "more uniform"}
            for layer in LAYERS
            for view in views
            if compared
        ],
        tables=[
            Table(
                name, "Gini index", ("layer", "in", "Gini"), [(EVIL, 1234, 0.5), (EVIL, 3, np.nan)]
            )
            for name in ("layers", "comparisons")
        ],
        skipped={EVIL: "a vector"},
    )


def test_a_line_goes_through_the_mean_gini_of_each_layer_from_top_to_bottom():
    shown = layers_shown()
    axes = figures(shown)["depth"].axes[0]
    start, *lines = axes.lines
    np.testing.assert_array_equal(start.get_xdata(), [1 / 3] * 3)
    for drawn, values in zip(lines, shown.lines.values(), strict=True):
        np.testing.assert_allclose(np.asarray(drawn.get_xdata(), float), values.mean(axis=0))
        np.testing.assert_array_equal(drawn.get_ydata(), [0, 1, 2])
    assert axes.yaxis_inverted()


def test_each_layer_has_a_panel_with_its_groups_and_its_law():
    shown = layers_shown()
    drawn = figures(shown)
    for which, of in (("sorted", "relative"), ("lorenz", "lorenz")):
        panels = drawn[which].axes
        assert len(panels) == len(LAYERS)
        for axes, layer in zip(panels, LAYERS, strict=True):
            wanted = [getattr(p, of).mean(axis=0) for p in shown.profiles[layer]]
            wanted.append(getattr(shown.starts[layer].profile, of))
            curves: list[Any] = [np.asarray(line.get_ydata()) for line in axes.lines]
            curves = [curve for curve in curves if len(curve) == 101]
            np.testing.assert_array_equal(curves, wanted)


def test_a_layer_without_a_number_is_said_not_to_be_measured():
    shown = layers_shown()
    one, two = shown.profiles[EVIL]
    whole = figures(shown._replace(profiles={**shown.profiles, EVIL: [one, one]}))
    nothing = figures(shown._replace(profiles={**shown.profiles, EVIL: [two, two]}))
    for which in ("sorted", "lorenz"):
        assert not any(axes.texts for axes in whole[which].axes)
        said = [[text.get_text() for text in axes.texts] for axes in nothing[which].axes]
        assert said == [[], ["not measured"], []]


def test_sorted_weights_of_all_layers_are_on_one_scale_that_holds_the_largest():
    shown = layers_shown()
    limits = {axes.get_ylim() for axes in figures(shown)["sorted"].axes}
    ((_, top),) = limits
    largest = max(of[0].relative.max() for of in shown.profiles.values())
    assert top >= largest


def test_differences_are_drawn_if_groups_are_compared():
    assert list(figures(layers_shown())) == ["depth", "sorted", "lorenz", "differences"]
    assert list(figures(layers_shown(compared=False))) == ["depth", "sorted", "lorenz"]


def test_long_names_are_cut_between_their_words():
    axes = figures(layers_shown())["depth"].axes[0]
    titles = [label.get_text() for label in axes.get_yticklabels()]
    assert titles == ["first.kernel", EVIL, "…2.attention.projection.kernel"]


@pytest.mark.parametrize("compared", [True, False])
def test_the_page_shows_all_layers_and_takes_names_as_text(compared):
    text = page(layers_shown(sizes=(3, 2) if compared else (1, 1), compared=compared))
    assert text.startswith("<!doctype html>")
    assert "<img" not in text
    assert len(re.findall("<figure ", text)) == 1 + 2 * len(LAYERS) + compared
    assert "1,234" in text
    assert ("More uniform: 6 of 6." in text) == compared
    assert ("One network each tells nothing about chance." in text) != compared
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', text)) <= set(ids)


@pytest.mark.parametrize(
    "name", ["x: #123456.weight", "font: x.weight", 'a style="fill: #123456; font: x" b']
)
def test_a_name_that_looks_like_a_style_stays_text(name):
    figure = Figure(figsize=(1, 1))
    figure.text(0, 0, name, color="black")
    (text,) = ElementTree.fromstring(inline_svg(figure, "named")).iter("text")
    assert (text.text or "").strip() == name
    assert "font" not in text.attrib["style"]


def test_the_page_names_the_file_of_a_single_network_and_explains_its_lines():
    shown = layers_shown(sizes=(1,), compared=False)
    shown = shown._replace(groups={"net.npz": ["folder/net.npz"]})
    text = page(shown)
    assert "<b>net.npz</b>: folder/net.npz" in text
    assert "averaged over units" in text
    assert "If it is higher, by more than chance, than “of one unit”" in text
    assert "is half of the Gini index without its factor N/(N - 1)." in text
    assert "<summary>1 tensor</summary>" in text
    assert "Lines are means" not in text


def test_a_legend_has_the_colours_of_its_curves_also_of_one_usual_condition():
    alone = layers_shown((2,), compared=False)
    shown = alone._replace(
        groups={"dropout": ["run"]}, lines={"all weights": alone.lines["group 0"]}
    )
    depth, profiles = re.findall(r'<ul class="legend".*?</ul>', page(shown), re.DOTALL)
    assert "stroke: var(--k0)" in depth
    assert "stroke: var(--k1)" in profiles  # the colour that dropout has everywhere
