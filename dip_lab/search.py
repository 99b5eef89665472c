"""A search by Optuna, `hydra/sweeper=optuna`, which continues where it was ended. No torch."""

import fcntl
import hashlib
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from omegaconf import DictConfig, OmegaConf

from dip_lab.runs.files import no_link

log = logging.getLogger(__name__)
TAKEN_UP = "taken up again"


def prepare(sweeper: DictConfig, folder: Path, overrides: Sequence[str], name: str) -> IO:
    """Set in the sweeper's node what its YAML cannot know: what a score is, where the trials are, what is left.

    The score is maximised; a trial that fails is recorded and the search goes on. Without a storage of its own, the
    study is a file in the group's folder. Hydra's sweeper would run all `n_trials` again, so it is given only the
    number that is left, and another seed. A trial whose process died is asked for again with the same values, so that
    its cell continues from its checkpoint.

    Args:
        sweeper: the node `hydra.sweeper` of `hydra/sweeper=optuna`; it is changed.
        folder: the group's folder; it is created.
        overrides: those of the command; they name a study that has no name.

    Returns:
        An open lock: as long as it is held, another launch of the same search leaves the running trials alone.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it makes the storage's tables, and logs a lot
    import optuna
    from optuna.trial import TrialState

    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweeper.direction, sweeper.max_failure_rate = "maximize", 1.0
    sweeper.storage = sweeper.storage or f"sqlite:///{folder}/study.db"
    params = OmegaConf.to_container(sweeper.params) if sweeper.params else {}
    asked = json.dumps([sorted(set(overrides)), params], sort_keys=True)
    sweeper.study_name = sweeper.study_name or f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
    study = optuna.create_study(study_name=sweeper.study_name, storage=sweeper.storage, load_if_exists=True,
                                direction="maximize")
    lock = open(folder / f".{sweeper.study_name}.lock", "a", encoding="utf-8", opener=no_link)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        dead = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    except BlockingIOError:  # they run in another launch
        dead = []
    except OSError as error:  # the file system has no locks: whether they run is not known
        log.warning("%s: no lock (%s): trials that were ended are not taken up again", folder, error.strerror)
        dead = []
    for trial in dead:
        study.tell(trial.number, state=TrialState.FAIL)
        study.set_user_attr(f"trial {trial.number}", TAKEN_UP)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.enqueue_trial(trial.params)
    retired = sum(value == TAKEN_UP for value in study.user_attrs.values())
    ended = sum(trial.state in (TrialState.COMPLETE, TrialState.FAIL) for trial in study.trials) - retired
    if ended:
        log.info("%d of %d trials are done, %d taken up again", ended, sweeper.n_trials, len(dead))
    sweeper.n_trials = max(0, sweeper.n_trials - ended)
    if "seed" in sweeper.sampler:
        sweeper.sampler.seed = (sweeper.sampler.seed or 0) + len(study.trials)
    return lock
