"""All stopping rules over recorded pictures of a fit, without fitting:

    python scripts/replay.py outputs/denoise/<run>/snapshots --target target.png
    python scripts/replay.py FRAMES --target F16.png --observation noisy.png task.sigma=25 wmv.window=6

FRAMES is a folder of pictures whose names are iterations (000500.png, 50.png). The arguments after it set keys of a
rule (wmv.patience=500: as in configs/stopping) or of the task (task/noise=poisson). Windows count pictures, patience
and min_start count iterations. The average is that of `average=` (none by default: recorded pictures are far apart).
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab
import torch  # noqa: E402

from dip_lab.build import build_problem  # noqa: E402
from dip_lab.catalogue import options  # noqa: E402
from dip_lab.compose import compose  # noqa: E402
from dip_lab.data.images import read_picture  # noqa: E402
from dip_lab.instantiate import instantiate  # noqa: E402
from dip_lab.mistakes import MISTAKES, explain  # noqa: E402
from dip_lab.problem import Problem  # noqa: E402
from dip_lab.results.verdicts import as_csv, verdicts  # noqa: E402
from dip_lab.runs.files import write_text  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402


def frames_of(folder: Path) -> list[tuple[int, Path]]:
    """(iteration, file) of the pictures of a folder, in order.

    Raises:
        ValueError: there are none.
    """
    found = sorted((int(path.stem), path) for path in folder.glob("*") if path.stem.isdigit())
    if not found:
        raise ValueError(f"{folder}: no pictures whose names are iterations, such as 000500.png")
    return found


def problem_of(cfg, target: Path | None, observation: Path | None) -> Problem:
    """The problem that the frames restore; without an observation, only the target and its size are used."""
    picture = replace(read_picture(target or observation), clean=target is not None)
    problem = build_problem(cfg.task, picture, cfg.seed)
    if observation is not None:
        measured = read_picture(observation).pixels
        if measured.shape != problem.observation.shape:
            raise ValueError(f"{observation} has the shape {tuple(measured.shape[1:])}, and the task's observation of "
                             f"the target {tuple(problem.observation.shape[1:])}: give the one that was fitted")
        problem.observation = measured
        problem.target = picture.pixels if target is not None else None
    return problem


def watchers(cfg, problem: Problem, observed: bool) -> dict[str, object]:
    """The rules that can watch; for the others, the reason why they cannot is printed."""
    rules = {}
    for name in cfg.shadow:
        rule = instantiate(cfg.shadow[name])
        try:
            if rule.changes_fit:
                raise ValueError(f"stopping={name} changes the fit")
            if rule.uses_observation and not observed:
                raise ValueError("needs --observation, the one that was fitted")
            rule.setup(problem, cfg.seed)
        except ValueError as error:
            print(f"{name}: left out: {error}")
        else:
            rules[name] = rule
    return rules


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--target", type=Path, help="the ground truth, for PSNRs and the oracle")
    parser.add_argument("--observation", type=Path, help="what was fitted, for the rules that look at it")
    parser.add_argument("--csv", type=Path, help="where to write the table too")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_intermixed_args(arguments)
    if args.target is None and args.observation is None:
        parser.error("give --target, --observation or both")

    names = list(options("stopping"))
    overrides = [f"shadow.{o}" if o.split(".")[0] in names else o for o in args.overrides]
    cfg = compose(["average=none", f"shadow=[{','.join(names)}]", *overrides])
    problem = problem_of(cfg, args.target, args.observation)
    rules, average = watchers(cfg, problem, args.observation is not None), instantiate(cfg.average)
    peak, frames = None, frames_of(args.frames)
    for iteration, path in frames:
        frame = read_picture(path).pixels
        if frame.shape != problem.image_shape:
            raise ValueError(f"{path} has the shape {tuple(frame.shape[1:])}, the restoration "
                             f"{tuple(problem.image_shape[1:])}: give the frames of this picture")
        average.update(frame, iteration)
        for rule in rules.values():
            rule.observe(iteration, frame, average.image)
        psnr = problem.scores(frame if average.image is None else average.image).get("psnr")
        if psnr is not None and (peak is None or psnr > peak[0]):
            peak = psnr, iteration
    scores = {name: problem.scores(rule.kept).get("psnr") for name, rule in rules.items()}
    rows = verdicts(rules, scores, frames[-1][0], peak and peak[0])
    print(f"{len(frames)} pictures, iterations {frames[0][0]} to {frames[-1][0]}"
          + (f"; peak {peak[0]:.2f} dB at {peak[1]} (needs the target)" if peak else ""))
    for row in rows:
        score = "" if row.psnr is None else f"{row.psnr:6.2f} dB, {row.gap:.2f} below the peak"
        stop = f"stops at {row.stopped_iteration}" if row.stopped_iteration else "does not stop"
        print(f"{row.rule:<16} {row.chosen_iteration:>6}  {score}  {stop}")
    if args.csv:
        write_text(args.csv, as_csv(rows))


if __name__ == "__main__":
    use_utf8()
    torch.set_grad_enabled(False)
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(explain(error, [text for text in sys.argv[1:] if "=" in text]), file=sys.stderr)
        sys.exit(2)
