"""The kinds of figure that papers on Deep Image Prior show, from the files of finished runs:

    python scripts/figures.py learning outputs/paper_noise_impedance       # loss against iteration, all cells
    python scripts/figures.py snapshots outputs/paper_inpaint_vase/<run>   # the outputs along one fit
    python scripts/figures.py crops outputs/paper_denoise25/<run> --box 300,200,96   # before and after, enlarged

Each writes a PNG into the folder that it was given, or where --out says.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from PIL import Image  # noqa: E402

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.mistakes import MISTAKES  # noqa: E402
from dip_lab.results.history import read_rows  # noqa: E402
from dip_lab.results.png import figure_png  # noqa: E402
from dip_lab.runs.files import write_atomic  # noqa: E402
from dip_lab.runs.folder import read_result  # noqa: E402
from dip_lab.tables.comparison import labelled_cells  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

OBSERVATIONS = {"none": "image", "gaussian": "image + noise", "shuffled": "image, pixels shuffled", "uniform": "noise"}


def learning(group: Path) -> Figure:
    """Loss against the iteration, logarithmic in both, one curve for each cell of a group's folder."""
    cells = labelled_cells(group)
    if not cells:
        raise ValueError(f"{group}: no runs with a result.json and curves")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for label, folder, _ in cells:
        rows = read_rows(folder / "history.csv")
        axis.plot([row["iteration"] for row in rows], [row.get("loss", math.nan) for row in rows],
                  label=OBSERVATIONS.get(label, label))
    axis.set(xscale="log", yscale="log", xlabel="iteration", ylabel="loss")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def snapshots(run: Path) -> Figure:
    """The pictures of `snapshots/` in a row, each with its iteration and, where there is a target, its PSNR."""
    frames = sorted((int(path.stem), path) for path in (run / "snapshots").glob("*.png"))
    if not frames:
        raise ValueError(f"{run}: no pictures in snapshots/; run it with log_every_image=100")
    psnrs = {row["iteration"]: row.get("psnr", math.nan) for row in read_rows(run / "history.csv")}
    captions = [f"{iteration}" + ("" if math.isnan(psnrs.get(iteration, math.nan)) else f", {psnrs[iteration]:.2f} dB")
                for iteration, _ in frames]
    return strip([(caption, opened(path)) for caption, (_, path) in zip(captions, frames, strict=True)])


def crops(run: Path, box: tuple[int, int, int] | None) -> Figure:
    """Observation, restoration and, where there is one, target; below each the part in the box, enlarged.

    `box` is left, top and side in px; without one it is the quarter in the middle.
    """
    answers = [path for path in run.glob("dip_*.png") if not path.stem.endswith(("_curves", "_panel"))]
    if len(answers) != 1:
        raise ValueError(f"{run}: not a finished run, there is no restored picture in it")
    result = read_result(run) or {}
    pictures = [("observation", "psnr_observed", run / "observed.png"), ("restoration", "psnr", answers[0])]
    pictures += [("target", None, run / "target.png")] if (run / "target.png").exists() else []
    images = [opened(path) for _, _, path in pictures]
    width, height = images[0].size
    side = box[2] if box else max(8, min(width, height) // 4)
    left, top = box[:2] if box else ((width - side) // 2, (height - side) // 2)
    if left < 0 or top < 0 or side < 1 or left + side > width or top + side > height:
        raise ValueError(f"--box {left},{top},{side} is not inside the picture of {width} x {height} px")
    figure = Figure(figsize=(3.2 * len(images), 3.2 * height / width + 3.6), layout="constrained")
    rows = figure.subplots(2, len(images), height_ratios=[height / width, 1])
    for column, ((caption, key, _), image) in enumerate(zip(pictures, images, strict=True)):
        score = f"\n{result[key]:.2f} dB" if key and result.get(key) is not None else ""
        show(rows[0, column], image, caption + score)
        rows[0, column].add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, ec="tab:red", lw=1.5))
        show(rows[1, column], image.crop((left, top, left + side, top + side)), "")
    return figure


def strip(pictures: list[tuple[str, Image.Image]]) -> Figure:
    """Pictures in rows of six, each under its caption."""
    width, height = pictures[0][1].size
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(2.6 * columns, (2.6 * height / width + 0.35) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, (caption, picture) in zip(axes, pictures, strict=False):
        show(axis, picture, caption)
    for axis in list(axes)[len(pictures):]:
        axis.axis("off")
    return figure


def show(axis, picture: Image.Image, caption: str) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(caption, fontsize="small")
    axis.axis("off")


def opened(path: Path) -> Image.Image:
    """The picture, its file closed."""
    with Image.open(path) as image:
        return image.copy()


def three_numbers(text: str) -> tuple[int, int, int]:
    left, top, side = map(int, text.split(","))
    return left, top, side


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("learning", "snapshots", "crops"))
    parser.add_argument("folder", type=Path, help="a group's folder (learning) or a run's")
    parser.add_argument("--box", type=three_numbers, help="left,top,side in px of the part that crops enlarges")
    parser.add_argument("--out", type=Path, help="the PNG to write")
    args = parser.parse_args(arguments)
    draw = {"learning": learning, "snapshots": snapshots, "crops": lambda folder: crops(folder, args.box)}[args.kind]
    out = args.out or args.folder / f"{args.kind}.png"
    write_atomic(out, figure_png(draw(args.folder), dpi=150))
    print(out)


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
