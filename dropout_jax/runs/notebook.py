"""Figures that a notebook shows by themselves, without pyplot."""

import base64
import html
import io

from matplotlib.figure import Figure as _Figure


class Figure(_Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()


class Figures(dict[str, Figure]):
    """Figures by name, which a notebook shows one below the other."""

    def _repr_html_(self) -> str:
        return "".join(
            f"<figure><figcaption>{html.escape(name)}</figcaption>"
            f'<img src="data:image/png;base64,{base64.b64encode(figure._repr_png_()).decode()}" '
            f'alt="{html.escape(name)}"></figure>'
            for name, figure in self.items()
        )
