"""The page of a run, as text and in a real browser: Debian's Chromium, if it is installed."""

import csv
import html.parser
import io
import re
import shutil
from typing import Any

import numpy as np
import pytest

from dropout_jax.analysis.uniformity import MEASURES, Profile
from dropout_jax.runs import layers_page, page_panels, views, wording
from dropout_jax.runs.page import Contents, render
from tests.runs.test_layers_page import layers_shown

EVIL = "<img src=x onerror=alert(1)>"
NAMES = ("none", EVIL, "$x_{")
N_SEEDS, EPOCHS = 3, np.array([0, 1, 2])
MISSING = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]


def comparison(condition, layer, view, measure, k):
    return {
        **{"baseline": "none", "condition": condition, "layer": layer, "view": view},
        **{"measure": measure, "baseline_mean": 0.4, "condition_mean": 0.3, "effect_size": 1.0},
        **{"difference": -0.1 + k / 50, "ci_low": -0.123456789, "ci_high": 0.05, "p_value": 0.01},
        **{"p_adjusted": 0.02, "verdict": ("more uniform", "undecided")[k % 2]},
    }


def contents(names=NAMES, widths=(40, 30, 10), n_inputs=900):
    rng = np.random.default_rng(0)
    sizes = list(zip((n_inputs, *widths[:-1]), widths, strict=True))
    titles = [f"layer {l} ({i} → {o})" for l, (i, o) in enumerate(sizes)]
    cells = [(l, view) for l in range(len(titles)) for view in ("entries", "columns", "change")]
    error = {"mean": 0.0512345, "sd": 0.004, "ci_low": 0.0323456, "ci_high": 0.0712345}
    of_condition = {
        "train_error": error,
        "test_error": error,
        "diverged_seeds": [],
        "n_compared": 3,
        "rates": [0.0, 0.5, 0.5],
        "weight_decay": 0.0,
    }
    relative: Any = np.sort(rng.gamma(2, size=(len(names), N_SEEDS, 201)))
    profile = Profile(relative, relative.cumsum(-1) / relative.sum(-1, keepdims=True))
    return Contents(
        summary={
            "n_seeds": N_SEEDS,
            "conditions": dict.fromkeys(names, of_condition),
            "statistics": {"interval": "95% interval", "margins": {"gini": 0.01}},
            "comparisons": [
                comparison(name, layer, view, measure, k)
                for name in names[1:]
                for measure in ("gini", "cv")
                for k, (layer, view) in enumerate(cells)
            ],
        },
        question=f"Of {names[0]}?",
        answer=[f"With {name}, nothing." for name in names[1:]],
        settings={"dataset": "digits", "conditions": {name: {} for name in names}},
        environment={"seconds": {"training": 1.5}, "devices": ["cpu:0", "cpu:1"]},
        interrupted=False,
        magnitudes={
            title: {name: np.abs(rng.normal(size=i * o)) for name in names}
            for title, (i, o) in zip(titles, sizes, strict=True)
        },
        changes={name: dict.fromkeys(titles, 0.0123) for name in names[1:]},
        profiles=dict.fromkeys(titles, profile),
        units=dict.fromkeys(titles[:-1], profile),
        epochs=EPOCHS,
        curves={
            f"{split}_{metric}": rng.random((len(names), N_SEEDS, len(EPOCHS)))
            for metric in ("loss", "error")
            for split in ("train", "test")
        },
    )


class Reader(html.parser.HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page():
    return render(contents())


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def test_a_name_that_is_markup_stays_text(page, read):
    assert EVIL not in page
    assert EVIL in read.text
    assert "img" not in {tag for tag, _ in read.tags}


def test_nothing_is_fetched(read):
    for tag, attributes in read.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert "@import" not in read.text
    assert "url(" not in read.text


def test_every_chart_says_in_words_what_it_shows_and_every_table_what_it_is(read):
    charts_of = [a for tag, a in read.tags if tag == "svg" and a.get("aria-hidden") != "true"]
    assert (
        len(charts_of) == 9 + 2 * 3 + 2 * 2 + 2 + 4
    )  # weights, sorted, units, differences, learning
    assert all(len(a["aria-label"]) > 20 and a["role"] == "img" for a in charts_of)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("table") == tags.count("caption") == 7
    assert all("scope" in attributes for tag, attributes in read.tags if tag == "th")
    assert tags.count("h1") == 1
    labelled = {a["aria-labelledby"] for tag, a in read.tags if tag == "section"}
    assert labelled == {a["id"] for tag, a in read.tags if tag == "h2"}


@pytest.mark.parametrize("largest", [0.0016, 0.049, 0.063, 0.2, 0.93])
def test_differences_are_numbered_at_three_places_which_fit_on_a_phone(largest):
    row = comparison("dropout", 0, "entries", "gini", 0)
    rows = [row | {"ci_low": -largest, "ci_high": largest / 9}]
    (panel,) = page_panels.difference_panels(rows, ["none", "dropout"])
    texts = [text.strip() for text in re.findall("<text[^>]*>([^<]*)</text>", panel.svg)]
    left, middle, right = (text for text in texts if re.fullmatch(r"−?[\d.]+", text))
    assert float(middle) == 0
    assert left == f"−{right}"


def test_the_numbers_of_the_tables_have_all_their_digits(page):
    assert 'data-value="-0.123456789"' in page
    assert ">-0.123<" in page


def test_every_view_is_explained_and_has_one_name_for_readers(read):
    text = " ".join(read.text.split())
    assert wording.ADJUSTED in text
    for view in ("entries", "columns", "change"):
        name, of = views.VIEWS[view]
        assert f"{name.capitalize()}: {of}." in text
        assert f"layer 1 {name} " in "".join(a.get("aria-label") or "" for _, a in read.tags)
        assert ("td", {"data-value": view}) in read.tags  # in the table that is saved


def test_every_measure_but_the_gini_index_is_explained_beside_its_numbers():
    some = contents(widths=(5,), n_inputs=9)
    rows = [comparison(name, 0, "entries", of, 0) for name in NAMES[1:] for of in MEASURES]
    text = Reader(render(some._replace(summary={**some.summary, "comparisons": rows}))).text
    assert all(f"{measure}: " in text for measure in MEASURES if measure != "gini")
    assert "participation: (Σ a²)² / (N Σ a⁴); 1 is uniform, so here up is more uniform." in text


def test_errors_are_in_per_cent_in_every_table(page):
    error = 100 * contents().curves["test_error"][0, :, -1].mean()
    assert f">{error:.4f}</td></tr>" in page
    assert "losses in nats; errors in per cent" in page


def test_the_scatter_says_how_the_gini_differs_over_seeds(page):
    assert f"; over seeds, the Gini differs by +0.012 from {NAMES[0]}" in page


def test_the_choosers_start_where_weights_changed_most(monkeypatch):
    monkeypatch.setattr(page_panels, "inline_svg", lambda *_: "")  # they do not depend on it

    def checked(rows):
        of = contents()
        page = render(of._replace(summary={**of.summary, "comparisons": rows}))
        inputs = [a for tag, a in Reader(page).tags if tag == "input" and "checked" in a]
        return [a["value"] for a in inputs if a["data-control"] == "layer"]

    some = [(0, -0.1, "more uniform"), (1, 0.2, "less uniform"), (2, -0.3, "undecided")]
    rows = [
        comparison(name, layer, "entries", "gini", 0) | {"difference": d, "verdict": verdict}
        for layer, d, verdict in some
        for name in NAMES[1:]
    ]
    titles = list(contents().magnitudes)
    assert checked(rows) == [titles[1]] * 2
    assert checked(rows[4:]) == [titles[0]] * 2


def test_what_is_incomplete_is_said():
    some = contents(widths=(5,), n_inputs=9)
    some.summary["conditions"][EVIL] = {
        **some.summary["conditions"][EVIL],
        "diverged_seeds": [1, 2],
        "n_compared": 1,
    }
    text = " ".join(Reader(render(some._replace(interrupted=True))).text.split())
    assert f"2 networks of {EVIL} diverged (seeds 1, 2)" in text
    assert "with their seeds; 1 seed is compared." in text
    assert "Interrupted: only the seeds that were complete are compared." in text
    assert "digits, 3 networks each of none (" in text
    alone = render(contents(("only",), (5,), 9)._replace(interrupted=True))
    assert "only the seeds that were complete are shown." in " ".join(Reader(alone).text.split())


def test_networks_without_an_error_have_no_table_of_errors(page):
    assert 'data-name="errors"' in page
    some = contents(widths=(5,), n_inputs=9)
    losses = {name: values for name, values in some.curves.items() if "loss" in name}
    assert 'data-name="errors"' not in render(some._replace(curves=losses))


def test_one_condition_makes_a_page_without_differences():
    alone = contents(("only",), (5, 4), 9)
    alone.summary["conditions"]["only"] |= {"diverged_seeds": [3], "n_compared": 2}
    page = render(alone)
    assert "nothing is compared" in page
    assert "3 networks of <b>only</b>" in page
    one = alone._replace(summary={**alone.summary, "n_seeds": 1})
    assert "1 network of <b>only</b>" in render(one)
    assert 'id="differences"' not in page
    left_out = "1 network of only diverged (seed 3): left out with its seed; 2 seeds are left."
    assert left_out in page


def test_a_condition_takes_less_than_51_kilobytes_a_layer_however_wide():
    names = [f"condition {c}" for c in range(5)]
    page = render(contents(names, widths=(256, 256, 10)))
    assert len(page.encode()) < 5 * 3 * 51_000  # so ten of six layers stay near 3 megabytes


def test_all_that_diverged_makes_a_page():
    lost = contents(widths=(5, 4), n_inputs=9)
    nothing = {t: {n: np.array([np.nan]) for n in NAMES} for t in lost.magnitudes}
    curves = {name: np.full_like(values, np.nan) for name, values in lost.curves.items()}
    nan: Any = np.full((len(NAMES), N_SEEDS, 201), np.nan)
    diverged = Profile(nan, nan)
    profiles = dict.fromkeys(lost.profiles, diverged)
    page = render(
        lost._replace(magnitudes=nothing, curves=curves, profiles=profiles, units=profiles)
    )
    assert "diverged" in page
    assert not re.search(r' d="[^"]*(nan|inf)', page)


def test_a_layer_without_a_live_unit_is_not_said_to_have_diverged():
    some = contents(widths=(5,), n_inputs=9)
    page = render(some._replace(magnitudes={"layer 0": dict.fromkeys(NAMES, np.array([]))}))
    assert "0 weights, no live unit" in page
    assert ">no live unit</text>" in page
    assert "diverged" not in page


def test_figures_take_every_colour_and_font_from_the_page(page, read):
    inside = [a for tag, a in read.tags if tag in ("path", "text", "use", "rect", "image")]
    styles = ";".join(a.get("style") or "" for a in inside)
    named = set(re.findall(r"(?:fill|stroke): ([^;]+)", styles)) - {"none"}
    assert {"var(--text)", "var(--panel)", "var(--k0)", "var(--k1)", "var(--k2)"} <= named
    assert all(colour.startswith("var(--") for colour in named)
    assert "font" not in styles
    (style,) = re.findall(r"<style.*?>(.*?)</style>", page, re.DOTALL)  # a figure's would rule all
    for theme in (style, style.partition("dark)")[2].partition("\n*")[0]):
        assert all(f"{colour[4:-1]}:" in theme for colour in named)


def test_all_that_a_figure_refers_to_is_in_it(page):
    figures = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    everywhere = []
    for figure in figures:
        there = re.findall(r' id="([^"]+)"', figure)
        assert set(re.findall(r"(?:href=\"|url\()#([\w.-]+)", figure)) <= set(there)
        everywhere += there
    assert len(everywhere) == len(set(everywhere))


def test_a_page_is_the_same_each_time():
    first, again = (render(contents(widths=(5, 4), n_inputs=9)) for _ in range(2))
    assert first == again


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    if MISSING:
        pytest.skip(f"{' and '.join(MISSING)} are not installed: apt-get install chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page, tmp_path):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    browser.get(f"file://{tmp_path}/report.html")
    yield browser
    assert browser.get_log("browser") == []


def shown(browser, section):
    """The figures of a section that can be seen."""
    figures = browser.find_elements("css selector", f"#{section} figure")
    return [figure.text for figure in figures if figure.is_displayed()]


@pytest.mark.slow
def test_the_page_renders_and_the_name_runs_nothing(opened):
    assert opened.find_element("css selector", "h1").text == "Of none?"
    assert EVIL in opened.find_element("css selector", "#answer").text
    assert opened.find_elements("css selector", "img") == []


@pytest.mark.slow
def test_the_page_of_layers_renders_and_its_names_run_nothing(browser, tmp_path):
    (tmp_path / "layers.html").write_text(layers_page.page(layers_shown()), encoding="utf-8")
    browser.get(f"file://{tmp_path}/layers.html")
    assert len(shown(browser, "layers")) == 6
    assert browser.find_elements("css selector", "img") == []
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_the_controls_choose_layer_and_condition(opened):
    first = shown(opened, "weights")
    assert len(first) == 2  # the baseline and the first of the others, in the first layer
    assert all("layer 0" in caption for caption in first)
    layer, condition = (
        opened.find_elements("css selector", f'#weights input[data-control="{control}"]')
        for control in ("layer", "condition")
    )
    layer[2].click()
    condition[1].click()
    second = shown(opened, "weights")
    assert all("layer 2" in caption for caption in second)
    assert NAMES[2] in second[1]
    assert len(shown(opened, "sorted")) == 2  # and its Lorenz curve


@pytest.mark.slow
def test_the_controls_answer_to_the_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    first = opened.find_element("css selector", '#sorted input[data-control="layer"]')
    first.send_keys(Keys.ARROW_RIGHT)
    assert all("layer 1" in caption for caption in shown(opened, "sorted"))


@pytest.mark.slow
def test_a_table_is_saved_with_all_rows_and_digits(opened, downloads):
    summary = opened.find_element("css selector", "#differences summary")
    summary.click()
    opened.find_element("xpath", "//button[text()='Save comparisons.csv']").click()
    saved = downloads / "comparisons.csv"
    for _ in range(100):
        if saved.exists():
            break
        opened.execute_async_script("setTimeout(arguments[0], 50)")
    rows = list(csv.reader(io.StringIO(saved.read_text(encoding="utf-8"))))
    assert len(rows) == 1 + len(contents().summary["comparisons"])
    assert rows[1][0] == EVIL
    assert rows[1][7] == "-0.123456789"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone_in_either_scheme(opened, scheme):
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert opened.execute_script("return document.documentElement.scrollWidth") == 360
    colours = opened.execute_script(
        "const of = getComputedStyle(document.body); return [of.color, of.backgroundColor]"
    )
    text, behind = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (text < behind) == (scheme == "light")
    for table in opened.find_elements("css selector", "#answer table"):
        assert table.rect["width"] <= 330
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_on_a_projector_a_condition_stands_beside_the_baseline(opened):
    size = {"width": 640, "height": 360, "deviceScaleFactor": 2, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    figures = opened.find_elements("css selector", "#weights figure")
    left, right = (figure.rect for figure in figures if figure.is_displayed())
    assert left["y"] == right["y"]
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_in_print_every_chart_is_shown_and_no_table_is_cut_off(opened):
    size = {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(shown(opened, "weights")) == 9
    assert not opened.find_element("css selector", "button").is_displayed()
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")  # opens every table
    tables = opened.find_elements("css selector", "table")
    assert all(table.is_displayed() for table in tables)
    assert max(table.rect["x"] + table.rect["width"] for table in tables) <= 700
    for tag in ("summary", "caption", "thead"):  # which a page's end would part from their rows
        style = f"return getComputedStyle(document.querySelector('{tag}')).breakAfter"
        assert opened.execute_script(style) == "avoid"
    rows = opened.find_elements("css selector", "tr[data-measure]")
    seen = {row.get_attribute("data-measure") for row in rows if row.is_displayed()}
    assert seen == {"gini"}
    assert "metrics.csv" in opened.find_element("css selector", "#differences").text
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
