"""A figure as inline SVG: its text stays text, and its colours are variables of the page.

So the same figure is readable in light, dark and print, without a script or another file. The page
defines `--text`, `--soft`, `--stripe`, `--panel`, and `--k0` … `--k10` for the conditions.
"""

import base64
import io
import re
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from dropout_jax.runs.style import COLOURS, GREY, STRIPE, colour

_VARIABLES = {
    **{colour(c).lower(): f"var(--k{c})" for c in range(len(COLOURS))},
    to_hex("black"): "var(--text)",
    to_hex("white"): "var(--panel)",
    GREY: "var(--soft)",
    STRIPE: "var(--stripe)",
}
_DPI = 216  # of what is drawn as points: sharp on a fine screen, too
_FORMAT: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "dropout_jax"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline_svg(figure: Figure, name: str, description: str = "", c: int = 0) -> Markup:
    """The figure as an `<svg>` element, the same text for the same figure.

    Args:
      figure: drawn in black, white and the colours of `style`.
      name: begins each id, so that figures with different names can share a page.
      description: what the figure shows, in words; screen readers skip a figure without.
      c: the condition whose colour rasterised points take.
    """
    file = io.StringIO()
    with mpl.rc_context(_FORMAT):
        figure.savefig(file, format="svg", dpi=_DPI, transparent=True, metadata=_NO_METADATA)
    # skip what comes first: matplotlib's style of all elements, which would change the page's
    drawn = file.getvalue().partition("</defs>")[2].rpartition("</svg>")[0]
    drawn = re.sub(r' id="[^"]*_\d{1,4}"', "", drawn)  # of groups; nothing refers to them
    drawn = re.sub(r'(?<= )style="[^"]*"(?=[^<>]*>)', _as_on_page, drawn)  # in tags, not in text
    image = r'(<image .*?base64,)([^"]*)(.*?/>)'
    drawn = re.sub(image, lambda match: _as_mask(match, c), drawn, flags=re.S)
    drawn = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    width, height = (f"{72 * inches:g}" for inches in figure.get_size_inches())
    role = 'aria-hidden="true"'
    if description:
        role = Markup('role="img" aria-label="{}"').format(description)
    return Markup(f'<svg {role} viewBox="0 0 {width} {height}">{drawn}</svg>')


def _as_on_page(style: re.Match[str]) -> str:
    """A style with the page's own font and colours."""
    without_font = re.sub(r'font[-\w]*: [^;"]*;? ?', "", style[0])
    return re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda match: _VARIABLES[match[0]], without_font)


def _as_mask(image: re.Match[str], c: int) -> str:
    """A rasterised image as a mask of one bit a pixel, through which the colour of c is seen."""
    opened, data, closed = image.groups()
    alpha = Image.open(io.BytesIO(base64.b64decode(data))).getchannel("A")
    file = io.BytesIO()
    alpha.point([0] + 255 * [255], "1").save(file, "png")
    bits = base64.b64encode(file.getvalue()).decode()
    return (  # not up to the edges, where print would show a line
        f'<mask id="points">{opened}{bits}{closed}</mask>'
        '<rect x="1%" y="1%" width="98%" height="98%" mask="url(#points)" '
        f'style="fill: {_VARIABLES[colour(c).lower()]}"/>'
    )
