"""The plots of one fit: its curves, and the panel that puts the pictures side by side."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dip_lab.png import to_uint8
from dip_lab.results.history import History


def curves_figure(history: History, title: str, chosen: int | None, peak: int | None,
                  shadow: Mapping[str, int]) -> Figure:
    """Loss (left, logarithmic) and PSNR (right) against the iteration, with the chosen iteration and the peak.

    `shadow` is what other stopping rules chose: {rule: iteration}, each a short mark with its name.
    """
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    axis = figure.subplots()
    iterations = history.column("iteration")
    loss = history.column("loss")
    axis.plot(iterations, loss, color="0.45", lw=1, label="loss")
    if any(value > 0 for value in loss):
        axis.set_yscale("log")
    axis.set(xlabel="iteration", ylabel="loss", title=title)
    lines = axis.get_lines()
    curves = (("psnr", "PSNR of the output", "tab:blue"), ("psnr_average", "PSNR of the average", "tab:orange"))
    curves = [curve for curve in curves if any(map(math.isfinite, history.column(curve[0])))]
    if curves:
        right = axis.twinx()
        right.set_ylabel("PSNR [dB]")
        for key, label, color in curves:
            right.plot(iterations, history.column(key), color=color, lw=1.2, label=label)
        lines = [*lines, *right.get_lines()]
    if chosen:
        lines.append(axis.axvline(chosen, color="tab:green", lw=1, label=f"chosen: {chosen}"))
    if peak:
        lines.append(axis.axvline(peak, color="tab:red", lw=1, ls=":", label=f"peak (needs the target): {peak}"))
    for row, (rule, iteration) in enumerate(sorted(shadow.items(), key=lambda item: item[1])):
        if iteration > 0:  # names at different heights: rules often agree
            axis.axvline(iteration, color="0.6", lw=0.8, ls="--")
            axis.annotate(rule, (iteration, 0.03 + 0.05 * (row % 8)), xycoords=("data", "axes fraction"), ha="center",
                          fontsize="x-small", bbox={"color": "white", "alpha": 0.8, "pad": 1})
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), fontsize="small", frameon=False)
    return figure


def panel_figure(pictures: list[tuple[str, Tensor]], maps: Sequence[tuple[str, Tensor]] = (),
                 brightest: int = 255) -> Figure:
    """Pictures `(1, C, H, W)` in a row, each under its caption.

    Args:
        maps: sizes of errors, `(1, 1, H, W)`, where 1 is 255 of 255; drawn in colours with one bar for all.
        brightest: the end of that bar, in 8-bit units.
    """
    height, width = pictures[0][1].shape[-2:]
    count = len(pictures) + len(maps)
    figure = Figure(figsize=(3.2 * count + 0.7 * bool(maps), 3.2 * height / width + 0.7), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis, (caption, _) in zip(axes, [*pictures, *maps], strict=True):
        axis.set_title(caption, fontsize="small")
        axis.axis("off")
    for axis, (_, image) in zip(axes, pictures, strict=False):
        axis.imshow(to_uint8(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for axis, (_, values) in zip(axes[len(pictures):], maps, strict=True):
        drawn = axis.imshow(255 * values[0, 0].numpy(), cmap="inferno", vmin=0, vmax=brightest, interpolation="nearest")
    if maps:
        figure.colorbar(drawn, ax=list(axes), extend="max", label="of 255", fraction=0.05, pad=0.01, shrink=0.85)
    return figure
