"""The rule that suits the observation's noise."""

from typing import Any

from dip_lab.stopping.rule import StoppingRule


class Auto:
    """One of two rules: `shared` to denoise a picture whose noise neighbouring pixels share, else `independent`.

    Noise that the task added is independent. In another task than denoising, structure must be made up, and a rule that
    watches noise alone would end the fit too early.
    """

    changes_fit = True  # one of them may

    def __init__(self, independent: StoppingRule, shared: StoppingRule) -> None:
        self.independent, self.shared = independent, shared

    def for_problem(self, problem: Any) -> StoppingRule:
        given = problem.noise is None and not problem.operator.degrades
        estimate = problem.noise_estimate if given else None
        return self.shared if estimate is not None and estimate.is_shared else self.independent
