"""What two defaults of the torch of 2017 change in a fit: the table and the curves of docs/torch2017.md.

    python scripts/torch2017.py outputs/torch2017_denoise outputs/torch2017_sr --figure curves.png
    python scripts/torch2017.py outputs/f16 --frames shared/data/paper/trajectory_f16 --target F16.png --figure f16.png

The folders are those of sweeps over net.norm_weight and net.align_corners. `--frames` are pictures named by their
iteration, here those that the authors published of one of their fits.
"""

import argparse
import sys
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab
from matplotlib.figure import Figure  # noqa: E402

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.mistakes import MISTAKES  # noqa: E402
from dip_lab.results.history import read_rows  # noqa: E402
from dip_lab.results.png import figure_png  # noqa: E402
from dip_lab.runs.files import write_atomic  # noqa: E402
from dip_lab.runs.folder import read_result  # noqa: E402
from dip_lab.tables.grid import as_markdown  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

VARIANTS = {("ones", False): "neither (today's)", ("uniform", False): "weights U(0, 1)",
            ("ones", True): "align_corners", ("uniform", True): "both (2017)"}
COLOURS = dict(zip(VARIANTS.values(), ("tab:blue", "tab:orange", "tab:green", "tab:red"), strict=True))
CURVES = {"psnr": "last output", "psnr_average": "average"}
Curve = list[tuple[int, float]]  # (iteration, PSNR in dB)


def fits_of(groups: list[Path]) -> dict[tuple[str, str], list[dict[str, Curve]]]:
    """{(task and picture, variant): the curves of its seeds} of all fits that came to their last iteration.

    Raises:
        ValueError: there are none.
    """
    found: dict[tuple[str, str], list[dict[str, Curve]]] = {}
    for group in groups:
        for path in sorted(group.glob("*/result.json")):
            result = read_result(path.parent) or {}
            if result.get("status") != "done" or result.get("baseline"):
                continue
            net, rows = result["config"]["net"], read_rows(path.parent / "history.csv")
            curves = {key: [(row["iteration"], row[key]) for row in rows] for key in CURVES}
            variant = VARIANTS[net["norm_weight"], net["align_corners"]]
            found.setdefault((f"{result['task']} {result['picture']}", variant), []).append(curves)
    if not found:
        raise ValueError(f"{groups[0]}: no finished fits: run the sweeps first")
    return found


def table(fits: dict[tuple[str, str], list[dict[str, Curve]]]) -> str:
    """For each picture and variant, means over its seeds: the peak, its iteration, and the PSNR at the last iteration.
    """
    header = ["", "torch of 2017", "seeds", *(f"{name}: {what}" for name in CURVES.values()
                                             for what in ("peak", "at", "at the end")), "last iteration"]
    lines = []
    for picture in dict.fromkeys(picture for picture, _ in fits):
        for variant in VARIANTS.values():
            seeds = fits.get((picture, variant), [])
            if not seeds:
                continue
            fields = []
            for key in CURVES:
                peaks = [max(seed[key], key=lambda point: point[1]) for seed in seeds]
                fields += [f"{fmean(value for _, value in peaks):.2f}", f"{fmean(place for place, _ in peaks):.0f}",
                           f"{fmean(seed[key][-1][1] for seed in seeds):.2f}"]
            lines.append([picture, variant, str(len(seeds)), *fields, str(seeds[0]["psnr"][-1][0])])
    return as_markdown(header, lines)


def recorded(frames: Path, target: Path) -> Curve:
    """The PSNR of recorded pictures against the target."""
    from dip_lab.data.images import read_picture
    from dip_lab.metrics import psnr

    truth = read_picture(target).pixels
    places = sorted((int(path.stem), path) for path in frames.glob("*.png") if path.stem.isdigit())
    return [(place, float(psnr(read_picture(path).pixels, truth))) for place, path in places]


def drawn(fits: dict[tuple[str, str], list[dict[str, Curve]]], frames: Curve) -> Figure:
    """A panel for each picture: the first seed's last output (thin) and average (thick) of each variant."""
    pictures = list(dict.fromkeys(picture for picture, _ in fits))
    figure = Figure(figsize=(4.6 * len(pictures), 4.2), layout="constrained")
    for axis, picture in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True):
        first = {variant: fits[picture, variant][0] for variant in COLOURS if (picture, variant) in fits}
        for variant, curves in first.items():
            for key, width in (("psnr", 0.8), ("psnr_average", 2.0)):
                axis.plot(*zip(*curves[key], strict=True), color=COLOURS[variant], lw=width,
                          label=variant if width > 1 else None)
        points = [point for curves in first.values() for key in CURVES for point in curves[key]]
        last, top = max(place for place, _ in points), max(value for _, value in points)
        if frames:
            axis.plot(*zip(*(point for point in frames if point[0] <= last), strict=True), "k.", ms=4,
                      label="the authors' frames (last output)")
        axis.set(title=picture, xlabel="iteration", ylabel="PSNR in dB", ylim=(top - 7, top + 0.3))
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, loc="lower right", fontsize="small")
    return figure


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="+", type=Path, help="folders of sweeps")
    parser.add_argument("--frames", type=Path, help="a folder of recorded pictures named by their iteration")
    parser.add_argument("--target", type=Path, help="the picture without noise that the frames restore")
    parser.add_argument("--figure", type=Path, help="the PNG to write")
    args = parser.parse_args(arguments)
    if (args.frames is None) != (args.target is None):
        raise ValueError("--frames and --target go together: give both")
    fits = fits_of(args.groups)
    frames = recorded(args.frames, args.target) if args.frames else []
    print(table(fits))
    if frames:
        print(as_markdown(["iteration", "the authors' frame, dB"],
                          [[str(place), f"{value:.2f}"] for place, value in frames if place % 200 == 0]))
    if args.figure:
        write_atomic(args.figure, figure_png(drawn(fits, frames), dpi=110))
        print(args.figure)


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
