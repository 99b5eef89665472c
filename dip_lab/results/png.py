"""A drawn figure as the bytes of a PNG file. No torch."""

import io

from matplotlib.figure import Figure


def figure_png(figure: Figure, dpi: int = 120) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
