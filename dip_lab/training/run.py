"""One training, from config to the best weights: the page to read first."""

from pathlib import Path

from omegaconf import DictConfig

from dip_lab.fit import quiet
from dip_lab.mistakes import building
from dip_lab.training.build import build, use_machine
from dip_lab.training.checkpoint import BEST, KEY, LAST, read
from dip_lab.training.identity import Training
from dip_lab.training.report import said


def train(cfg: DictConfig, training: Training, folder: Path,
          number: int | None = None) -> tuple[float | None, str | None]:
    """Train a restorer, or go on with a training that was interrupted.

    Args:
        cfg: the composed config, without the node `hydra`.
        training: its identity.
        folder: where its files go.
        number: of the job in a sweep.

    Returns:
        The score of the held-out pictures with the best weights, and the signal that ended the training, if one did.

    Raises:
        ValueError: something in the config or in the pictures cannot work; raised before the first step.
    """
    use_machine(cfg, number)
    if cfg.rerun:
        for path in (folder / LAST, folder / BEST):
            path.unlink(missing_ok=True)
    with building(), quiet():
        plan = build(cfg, training, folder)
    with quiet(), plan.tracker, plan.interrupt:
        if plan.module.start < plan.module.iterations:
            plan.trainer.fit(plan.module, plan.data)
    score = read(folder / BEST)[KEY]["score"] if (folder / BEST).is_file() else None
    print(said(folder, score, plan.module.objective, plan.module.card.net))
    return score, plan.interrupt.name
