from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from dropout_jax.analysis.members import VIEWS
from dropout_jax.analysis.statistics import VERDICTS
from dropout_jax.analysis.uniformity import Profile
from dropout_jax.io import figures
from dropout_jax.runs import panels, plots, style, views

NAMES = ("none", "dropout", "l2")
N_SEEDS = 5
EPOCHS = np.array([0, 1, 3, 6])
N_HIDDEN = pytest.mark.parametrize("n_hidden", [1, 3])


def titles(n_hidden):
    return [f"layer {l}" for l in range(n_hidden + 1)]


def magnitudes(n_hidden):
    rng = np.random.default_rng(0)
    return {
        name: {title: rng.random(40 + 9 * l) / c for l, title in enumerate(titles(n_hidden))}
        for c, name in enumerate(NAMES[:2], start=1)
    }


def gini(n_hidden):
    return {
        name: {title: 0.1 * c + 0.011 * l for l, title in enumerate(titles(n_hidden))}
        for c, name in enumerate(NAMES[:2], start=1)
    }


def profiles(n_hidden):
    rng = np.random.default_rng(1)
    of_titles = {}
    for title in titles(n_hidden):
        relative = np.sort(0.1 + rng.random((len(NAMES), N_SEEDS, 21)))
        lorenz = np.cumsum(relative, axis=-1) / relative.sum(axis=-1, keepdims=True)
        of_titles[title] = Profile(relative, lorenz)  # pyright: ignore[reportArgumentType]  NumPy's
    return of_titles


def comparisons(n_hidden):
    rng = np.random.default_rng(2)
    cells = [(l, view) for l in range(n_hidden) for view in VIEWS]
    cells += [(n_hidden, view) for view in VIEWS[:3]]
    rows = []
    for condition in NAMES[1:]:
        for k, (layer, view) in enumerate(cells):
            for measure in ("gini", "top10_share"):
                low, middle, high = np.sort(rng.normal(size=3))
                rows.append(
                    {"baseline": "none", "condition": condition, "layer": layer, "view": view}
                    | {"measure": measure, "verdict": VERDICTS[k % len(VERDICTS)], "n": N_SEEDS}
                    | {"difference": middle, "ci_low": low, "ci_high": high}
                )
    return rows


def curves(n_conditions=3):
    rng = np.random.default_rng(3)
    names = ("train_loss", "test_loss", "train_error", "test_error")
    return {name: rng.random((n_conditions, N_SEEDS, len(EPOCHS))) for name in names}


FIGURES = {
    "weights": lambda n: plots.plot_weights(magnitudes(n), gini(n)),
    "profiles": lambda n: plots.plot_profiles(NAMES, profiles(n), "|w|"),
    "differences": lambda n: plots.plot_differences(comparisons(n), "gini"),
    "curves": lambda n: plots.plot_curves(NAMES, EPOCHS, curves()),
}


@N_HIDDEN
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_how_many_it_shows_and_names_its_axes(name, n_hidden):
    figure = FIGURES[name](n_hidden)
    figure.draw_without_rendering()  # a layout that does not fit would warn
    said = "one network each" if name == "weights" else f"{N_SEEDS} seeds"
    assert said in figure.get_suptitle()
    for axes in figure.axes:
        place = axes.get_subplotspec()
        assert place is not None
        many = place.get_gridspec().ncols > 3  # columns with one label for all
        assert axes.get_xlabel() or not place.is_last_row() or many
        if name == "differences":
            assert all(label.get_text() for label in axes.get_yticklabels())
        else:
            assert axes.get_ylabel() or not place.is_first_col()


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_the_same_file_each_time(name, tmp_path):
    for folder in ("first", "again"):
        figures.write_figure(tmp_path / folder, name, FIGURES[name](1))
    for suffix in (".png", ".svg"):
        first, again = (tmp_path / folder / (name + suffix) for folder in ("first", "again"))
        assert first.read_bytes() == again.read_bytes()


def test_the_band_of_weights_holds_the_middle_90_percent_of_each_window():
    axes, a = Figure().subplots(), np.random.default_rng(0).random(2000) * np.repeat([1, 3], 1000)
    panels.draw_weights(axes, a, 3.0, 0)
    band: Any = axes.patches[0]
    values, edges, low = band.get_data()
    assert len(values) == 40
    assert band.get_zorder() > axes.collections[0].get_zorder()  # the points, which would hide it
    for start, end, of_low, of_high in zip(edges, edges[1:], low, values, strict=False):
        window = a[int(start) : int(end)]
        within = np.mean((window >= of_low) & (window <= of_high))
        assert abs(within - 0.9) <= 2 / len(window)


def test_the_mean_difference_over_seeds_is_written_beside_the_gini_of_one_network():
    changes = {"dropout": dict.fromkeys(titles(1), -0.0123)}
    figure = plots.plot_weights(magnitudes(1), gini(1), changes)
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert ["mean difference -0.012" in words[0] for words in said] == [False, True] * 2


def test_panels_of_weights_stand_below_their_names_in_any_order():
    backwards = dict(reversed(magnitudes(1).items()))
    figure = plots.plot_weights(magnitudes(1), dict(reversed(gini(1).items())))
    for shown in (figure, plots.plot_weights(backwards, gini(1))):
        for axes in shown.axes[:2]:
            expected = gini(1)[axes.get_title()][titles(1)[0]]
            assert axes.texts[0].get_text() == f"Gini {expected:.3f}"


@N_HIDDEN
def test_weights_are_shown_one_by_one_on_one_scale_a_layer(n_hidden):
    shown, numbers = magnitudes(n_hidden), gini(n_hidden)
    figure = plots.plot_weights(shown, numbers)
    assert legend_of(figure) == ["mean", "middle 90 %, its upper edge black"]
    assert "pixels row by row: a comb there comes from that" in figure.get_suptitle()
    grid = np.reshape(np.array(figure.axes), (n_hidden + 1, 2))
    for row, title in zip(grid, titles(n_hidden), strict=True):
        assert row[0].get_ylabel() == f"{title}\n|w|"
        assert row[0].get_ylim() == row[1].get_ylim()
        assert row[0].get_ylim()[0] == 0
        for axes, name in zip(row, shown, strict=True):
            a = shown[name][title]
            points = axes.collections[0].get_offsets()
            np.testing.assert_array_equal(points, np.stack([np.arange(len(a)), a], axis=1))
            assert axes.get_ylim()[1] > a.max()
            np.testing.assert_array_equal(axes.lines[0].get_ydata(), 2 * [a.mean()])
            assert [text.get_text() for text in axes.texts] == [f"Gini {numbers[name][title]:.3f}"]
    assert [axes.get_title() for axes in grid[0]] == list(shown)


def assert_bands(axes, x, values):
    """A line through the means over seeds, and a band from the least to the largest."""
    lines = axes.lines[-len(values) :]
    bands = axes.collections[: len(values)]
    for line, band, of_condition in zip(lines, bands, values, strict=True):
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), of_condition.mean(axis=0))
        corners = band.get_paths()[0].vertices
        for edge in (of_condition.min(axis=0), of_condition.max(axis=0)):
            for point in zip(x, edge, strict=True):
                assert np.isclose(corners, point).all(axis=1).any()


def legend_of(drawn):
    (legend,) = [drawn.get_legend()] if hasattr(drawn, "get_legend") else drawn.legends
    return [text.get_text() for text in legend.get_texts()]


@N_HIDDEN
def test_profiles_show_mean_and_range_over_seeds_of_every_condition(n_hidden):
    shown = profiles(n_hidden)
    figure = plots.plot_profiles(NAMES, shown, "|w|")
    grid = np.reshape(np.array(figure.axes), (3, -1))
    for column, (title, (relative, lorenz)) in zip(grid.T, shown.items(), strict=True):
        assert column[0].get_title() == title
        for axes, of_row in zip(column, (relative, lorenz, lorenz - lorenz[:1]), strict=True):
            assert_bands(axes, np.linspace(0, 1, 21), of_row)
            assert len(axes.collections) == len(of_row) + (axes is column[1])
        shaded = column[1].collections[-1].get_paths()[0].vertices  # shoelace formula of its area
        area = abs(np.sum(np.diff(shaded[:, 0]) * (shaded[:-1, 1] + shaded[1:, 1]))) / 2
        below = np.trapezoid(lorenz[0].mean(axis=0), dx=1 / 20)
        np.testing.assert_allclose(area, 0.5 - below, rtol=1e-6)
        np.testing.assert_array_equal(column[1].lines[0].get_ydata(), [0, 1])
        assert column[1].get_ylim() == (0, 1)
        assert column[0].get_ylim()[1] > relative.max()
        assert column[2].get_ylim() == grid[2, 0].get_ylim()
        assert column[2].get_ylim()[1] >= (lorenz - lorenz[:1]).max()
    assert legend_of(figure) == list(NAMES)
    assert "Last row: difference from none; up is more uniform." in figure.get_suptitle()
    assert "half the Gini of none, without N/(N - 1)." in figure.get_suptitle()
    for axes, words in zip(grid[:, 0], ("mean", "share", "difference"), strict=True):
        assert words in axes.get_ylabel()


@N_HIDDEN
def test_differences_show_every_interval_of_the_measure_and_fill_what_is_decided(n_hidden):
    rows = comparisons(n_hidden)
    axes = plots.plot_differences(rows, "gini").axes[0]
    of_measure = [row for row in rows if row["measure"] == "gini"]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    for row, (point, _, bars) in zip(of_measure, axes.containers, strict=True):
        (start, end), y = bars[0].get_segments()[0], point.get_ydata()[0]
        ends = (row["ci_low"], point.get_xdata()[0], row["ci_high"])
        np.testing.assert_allclose((start[0], row["difference"], end[0]), ends)
        fill, colour = point.get_markerfacecolor(), point.get_color()
        pale = (colour, panels.PALE)
        negligible = row["verdict"].startswith("negligibl")
        assert fill == (
            "white" if row["verdict"] == "undecided" else pale if negligible else colour
        )
        assert labels[round(y)] == f"layer {row['layer']}   {views.view_name(row['view'])}"
    assert axes.get_xlabel() == "difference in Gini from none"
    assert legend_of(axes) == ["dropout", "l2", "negligible", "undecided"]
    below: Any = axes.figure
    assert below.get_supxlabel().splitlines() == views.explain_views(VIEWS)


def test_the_title_of_differences_says_how_many_seeds_each_is_of():
    rows = comparisons(1)
    rows[0]["n"] = 3
    assert plots.plot_differences(rows, "gini").get_suptitle().endswith("n = 3 … 5 seeds")
    rows[0] |= {"n": 0} | dict.fromkeys(("difference", "ci_low", "ci_high"), np.nan)
    title = plots.plot_differences(rows, "gini").get_suptitle()
    assert title.endswith("n = 5 seeds\nno mark: too few live units in a seed, or diverged")
    title = plots.plot_differences([row | {"n": 1} for row in rows], "gini").get_suptitle()
    assert title.endswith("n = 1 seed")


def test_a_single_seed_is_no_plural():
    (one,) = (profile for profile in profiles(0).values())
    alone = {"layer 0": Profile(one.relative[:, :1], one.lorenz[:, :1])}
    drawn = [plots.plot_profiles(NAMES, alone, "|w|")]
    drawn += [plots.plot_curves(NAMES, EPOCHS, {k: v[:, :1] for k, v in curves().items()})]
    assert all("over 1 seed\n" in f"{figure.get_suptitle()}\n" for figure in drawn)


def test_curves_show_losses_in_nats_and_errors_in_percent():
    shown = curves()
    figure = plots.plot_curves(NAMES, EPOCHS, shown)
    for axes, (name, values) in zip(figure.axes, shown.items(), strict=True):
        is_loss = name.endswith("loss")
        assert_bands(axes, EPOCHS, values if is_loss else 100 * values)
        assert axes.get_title() == name.replace("_", " ")
        assert (axes.get_ylabel(), axes.get_yscale()) == (
            ("nats", "log") if is_loss else ("%", "linear")
        )
    assert legend_of(figure) == list(NAMES)


def test_the_arrow_points_to_where_it_is_more_uniform():
    """Participation is the one measure that grows with uniformity."""
    rows = [row | {"measure": "participation"} for row in comparisons(1)]
    figure = plots.plot_differences(rows, "participation")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any("less uniform ←" in text for text in texts)
    assert any("→ more uniform" in text for text in texts)


def test_many_conditions_of_any_name_are_told_apart():
    names = ["$\\frac{$", "_hidden", "<i>", *(f"condition {c}" for c in range(3, 12)), "x" * 60]
    figure = plots.plot_curves(names, EPOCHS, curves(len(names)))
    figure.draw_without_rendering()  # mathematics that cannot be set would raise
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(names)
    looks = {(style.colour(c), str(style.line(c))) for c in range(36)}
    assert len(looks) == 36


@pytest.mark.parametrize("n_hidden", [2, 3, 4])
def test_what_is_written_below_the_columns_of_a_slide_fits_and_does_not_overlap(n_hidden):
    figure = plots.plot_profiles(NAMES, profiles(n_hidden), "|w|")
    figure.set_size_inches(*style.SLIDE)
    figure.draw_without_rendering()
    last_row = figure.axes[-n_hidden - 1 :]
    labels = [axes.xaxis.label for axes in last_row if axes.get_xlabel()]
    ticks = [tick for axes in last_row for tick in axes.get_xticklabels() if tick.get_text()]
    for parts in (labels, ticks):
        ends = [part.get_window_extent() for part in parts]
        assert ends
        assert min(end.x0 for end in ends) >= 0
        assert max(end.x1 for end in ends) <= figure.bbox.x1
        assert all(one.x1 <= other.x0 for one, other in pairwise(ends))


SWEEP = ["none", *(f"dropout 0.{k}" for k in range(1, 10)), "l2"]
LONG = ["standard network without dropout", "bounded norm with half of the units dropped"]


@pytest.mark.parametrize("names", [SWEEP, LONG], ids=["many", "long"])
def test_legends_and_titles_of_any_conditions_fit_on_a_slide(names):
    flat: Any = np.ones((len(names), N_SEEDS, 21))
    few = names[:5]
    drawn = [
        plots.plot_curves(names, EPOCHS, curves(len(names))),
        plots.plot_profiles(names, dict.fromkeys(titles(2), Profile(flat, flat)), "|w|"),
        plots.plot_weights(
            {name: {"layer 0": np.ones(4)} for name in few}, {n: {"layer 0": 0.0} for n in names}
        ),
    ]
    for figure in drawn:
        figure.set_size_inches(*style.SLIDE)
        figure.draw_without_rendering()  # a layout that does not fit would warn
        parts = [*figure.legends, *(text for text in figure.texts if text.get_text())]
        parts += [axes.title for axes in figure.axes]
        ends = [part.get_window_extent() for part in parts]
        ends = [(end.x0, end.x1) for end in ends]
        assert ends == [(max(low, 0), min(high, figure.bbox.x1)) for low, high in ends]
    said = "the first 5 of 11 conditions"
    assert (said in drawn[-1].get_suptitle()) == (names is SWEEP)


def test_the_lines_and_marks_of_all_figures_have_the_colours_of_the_legend():
    names = ["none", "dropout 0.2", "dropout 0.5", "l2"]
    colours = {handle.get_label(): handle.get_color() for handle in style.legend(names)}
    axes = Figure().subplots()
    panels.draw_curve(axes, EPOCHS, {name: np.ones((2, len(EPOCHS))) for name in names}, "error")
    assert [line.get_color() for line in axes.lines] == list(colours.values())
    row = {
        "baseline": "none",
        "layer": 0,
        "view": "entries",
        "measure": "gini",
        "n": 2,
        "difference": 0,
    }
    rows = [row | {"condition": n, "ci_low": 0, "ci_high": 0, "verdict": ""} for n in names[1:]]
    marks: Any = plots.plot_differences(rows, "gini").axes[0].containers
    assert [mark.lines[0].get_color() for mark in marks] == list(colours.values())[1:]
