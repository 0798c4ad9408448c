"""Figures as PNG, SVG or PDF files that can be compared byte for byte."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from dropout_jax.io.writers import write_atomically


def write_figure(
    folder: Path,
    name: str,
    figure: Figure,
    formats: Sequence[str] = ("png", "svg"),
    dpi: int = 120,
) -> None:
    """Write a figure in each format; the same figure makes the same bytes.

    A PNG has at most 256 colours, which makes it a third as large.
    """
    for kind in formats:
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        drawn = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(drawn, format=kind, dpi=dpi, metadata=metadata)
        figure.set_layout_engine("none")  # the layout of the first format holds for all
        if kind == "png":
            picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            drawn = io.BytesIO()
            picture.save(drawn, "png", optimize=True, dpi=(dpi, dpi))
        content = drawn.getvalue()
        write_atomically(folder / f"{name}.{kind}", lambda file, c=content: file.write(c))
