"""The one table of scores: what each number of a result is called, its unit and decimals, and which way is better.

The terminal, result.json, the tables (LaTeX included) and the report read it. No torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

OWN = "own_scores"  # the key of result.json that describes scores which are not in the table below


@dataclass(frozen=True)
class Score:
    """One number of a result.

    Args:
        key: its name in result.json.
        name: its heading in the report.
        unit: such as "dB"; empty for a plain number.
        decimals: how many a person is shown.
        better: "higher" or "lower"; "": neither, such as a count.
        marked: whether lists mark the best value. They do not for a cost: a poor fit is often cheap.
        terminal: whether it is printed at the end of a fit.
        listed: whether the tables of a sweep have a column for it.
        reported: whether the report has one.
        common: whether the tables have its column even where no cell has a value.
        note: a few words on what it is, for the report.
    """

    key: str
    name: str
    unit: str = ""
    decimals: int = 4
    better: str = ""
    marked: bool = True
    terminal: bool = True
    listed: bool = True
    reported: bool = True
    common: bool = False
    note: str = ""

    def text(self, value: float) -> str:
        """The value with its decimals, without the unit.

        >>> SCORES["psnr"].text(29.456), SCORES["parameters"].text(2217831)
        ('29.46', '2217831')
        """
        return f"{value:.{self.decimals}f}"

    def measured(self, value: float) -> str:
        """The value with its unit.

        >>> SCORES["psnr_y"].measured(26.229), SCORES["ssim"].measured(0.84)
        ('26.23 dB', '0.8400')
        """
        return f"{self.text(value)} {self.unit}".strip()


_DB = {"unit": "dB", "decimals": 2}
_FUSION = {"better": "higher", "decimals": 2, "terminal": False}
_COST = {"better": "lower", "marked": False, "terminal": False}
_TABLE = (
    Score("psnr", "PSNR", **_DB, better="higher", common=True),
    Score("ssim", "SSIM", better="higher", common=True),
    Score("psnr_hole", "PSNR hole", **_DB, better="higher", common=True, note="in the hole"),
    Score("ssim_hole", "SSIM hole", better="higher", note="in the hole"),
    Score("psnr_y", "PSNR Y", **_DB, better="higher", common=True, note="on Y"),
    Score("psnr_8bit", "PSNR 8 bit", **_DB, better="higher", terminal=False, listed=False, reported=False,
          note="of the PNG's values"),
    Score("en", "EN", "bits", **_FUSION),
    Score("mi", "MI", "bits", **_FUSION),
    Score("sd", "SD", **_FUSION),
    Score("sf", "SF", **_FUSION),
    Score("ag", "AG", **_FUSION),
    Score("scd", "SCD", **{**_FUSION, "decimals": 4}),
    Score("qabf", "Qabf", better="higher"),
    Score("ssim_sources", "SSIM sources", better="higher"),
    Score("vif", "VIF", better="higher"),
    Score("temporal_error", "temporal error", better="lower", marked=False, note="flicker absent from the target"),
    Score("warping_error", "warping error", better="lower", marked=False, note="change along the optical flow"),
    Score("residual_std", "residual", "of 255", 1, terminal=False, listed=False, note="standard deviation"),
    Score("residual_correlation", "residual correlation", decimals=2, listed=False, note="of neighbours"),
    Score("brisque", "BRISQUE", decimals=1, better="lower"),
    Score("psnr_held_out", "PSNR held out", **_DB, terminal=False, listed=False),
    Score("psnr_peak", "PSNR peak", **_DB, common=True, note="needs the target"),
    Score("psnr_observed", "PSNR observed", **_DB, terminal=False, common=True),
    Score("chosen_iteration", "chosen", decimals=0, terminal=False, common=True, note="iteration"),
    Score("iterations", "iterations", decimals=0, terminal=False, common=True),
    Score("seconds", "seconds", decimals=1, common=True, **_COST),
    Score("seconds_per_iteration", "seconds an iteration", decimals=3, listed=False, reported=False, **_COST),
    Score("peak_memory_mb", "peak memory", "MB", 0, listed=False, note="with that of Python and torch", **_COST),
    Score("parameters", "parameters", decimals=0, common=True, **_COST),
)
SCORES: Mapping[str, Score] = {score.key: score for score in _TABLE}


def score_of(key: str, own: Iterable[Score] = ()) -> Score:
    """The entry of a key: that of the table, else one of `own`, else a plain number of four decimals."""
    return SCORES.get(key) or next((score for score in own if score.key == key), None) or Score(key, key)


def described(keys: Iterable[str], own: Iterable[Score] = ()) -> list[dict[str, Any]]:
    """The entries of result.json for keys that are not in the table, so that a page made from it can show them."""
    own = tuple(own)
    return [asdict(score_of(key, own)) for key in keys if key not in SCORES]


def known(results: Iterable[Mapping[str, Any]]) -> dict[str, Score]:
    """The entries for these results, in the order of a table: a task's own scores follow the known measures of quality.
    """
    own = {entry["key"]: Score(**entry) for result in results for entry in result.get(OWN) or ()}
    measures = {key: score for key, score in SCORES.items() if score.better and score.marked}
    return {**measures, **own, **SCORES}


def judged(scores: Mapping[str, Score]) -> dict[str, str]:
    """{key: "higher" or "lower"} of the scores whose best value a list marks."""
    return {key: score.better for key, score in scores.items() if score.better and score.marked and score.listed}


def duration(seconds: float) -> str:
    """
    >>> duration(7), duration(125), duration(7500)
    ('7 s', '2 min 5 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
