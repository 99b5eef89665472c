"""The last step: the answer in the form that is shown, and the scores of a clip frame by frame."""

import math
from dataclasses import replace
from statistics import fmean

from dip_lab.problem import Problem
from dip_lab.results.clip import frame_rows, temporal_errors, warping_error
from dip_lab.results.restoration import Restoration


def presented(restoration: Restoration, problem: Problem, fps: float) -> Restoration:
    """The restoration with the image that is shown; for a clip also its frames' scores and how steady it is.

    `temporal_error` needs the target. `warping_error` follows the optical flow of the target, else of the observation.
    """
    image = problem.shown(restoration.image)
    if len(image) == 1:
        return replace(restoration, image=image)
    known = problem.operator.known if problem.target is None else None
    reference = restoration.pictures.get("target", restoration.pictures["observed"])
    temporal = [] if problem.target is None else temporal_errors(image, problem.target)
    warping = warping_error(image, reference, known if known is None or known.shape[-2:] == image.shape[-2:] else None)
    rows = frame_rows(problem.frame_scores(restoration.image), temporal, warping)
    seen = [value for value in warping if math.isfinite(value)]
    steadiness = {"temporal_error": temporal, "warping_error": seen}
    scores = {key: fmean(values) for key, values in steadiness.items() if values}
    summary = replace(restoration.summary, frames=len(image), scores={**restoration.summary.scores, **scores})
    return replace(restoration, image=image, summary=summary, frames=rows, fps=fps)
