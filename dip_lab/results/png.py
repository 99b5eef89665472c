"""A drawn figure as the bytes of a PNG file. No torch."""

import io
import warnings

from matplotlib.figure import Figure


def figure_png(figure: Figure, dpi: int = 120) -> bytes:
    """The file's bytes. Letters that the font lacks, as in a picture's name, are drawn as boxes without a warning."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
