"""A search by Optuna: what it maximises, and that it continues where it was ended."""

import json
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")
pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
TINY = ["logger=none", "iterations=12", "log_every=6", "device=cpu", "net=skip_narrow", "net.width=4", "net.depth=2",
        "data.size=16", "threads=1", "name=search", "stopping=holdout",
        "stopping.every=2", "stopping.min_start=4"]
SEARCH = ["-m", "hydra/sweeper=optuna", *TINY, "optimizer.lr=tag(log,interval(1e-3,1e-1))", "hydra.sweeper.n_jobs=1"]
STORAGE = "sqlite:///outputs/search/study.db"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*SQLAlchemy.*",
                                        "ignore::optuna.exceptions.ExperimentalWarning")


def the_study() -> optuna.Study:
    (summary,) = optuna.get_all_study_summaries(STORAGE)
    return optuna.load_study(study_name=summary.study_name, storage=STORAGE)


def results() -> list[dict]:
    return [json.loads(path.read_text()) for path in Path("outputs/search").glob("*/result.json")]


@pytest.mark.slow
def test_a_search_goes_on_where_it_was(command):
    code, said = command(*SEARCH, "hydra.sweeper.n_trials=2")
    assert code == 0 and "Best value" in said, said
    study = the_study()
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.best_value == max(result["psnr"] for result in results())
    dead = study.ask()
    dead.suggest_float("optimizer.lr", 1e-3, 1e-1, log=True)  # its process was killed
    code, said = command(*SEARCH, "hydra.sweeper.n_trials=4")
    assert code == 0 and "2 of 4 trials are done, 1 taken up again" in said
    values = [trial.params["optimizer.lr"] for trial in the_study().trials if trial.state.name == "COMPLETE"]
    assert len(values) == 4 == len(set(values)) == len(results()) and dead.params["optimizer.lr"] in values
    code, said = command(*SEARCH, "hydra.sweeper.n_trials=4")
    assert code == 0 and len(results()) == 4 and "Best value" in said


def test_without_a_target_the_held_out_values_are_predicted(command):
    code, said = command(*SEARCH, "hydra.sweeper.n_trials=2", "task/noise=none", "task.given=true")
    assert code == 0, said
    assert all(result["psnr"] is None for result in results())
    assert the_study().best_value == max(result["psnr_held_out"] for result in results())


@pytest.mark.slow
def test_a_trial_that_fails_does_not_end_the_search(command):
    code, said = command(*SEARCH[:-2], "task.sigma=choice(25,-1)", "hydra.sweeper.n_jobs=1",
                         "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=5")
    states = {trial.state.name for trial in the_study().trials}
    assert code == 1 and states == {"COMPLETE", "FAIL"}, said


@pytest.mark.slow
def test_another_search_has_another_study(command):
    command(*SEARCH, "hydra.sweeper.n_trials=1")
    command(*SEARCH, "hydra.sweeper.n_trials=1", "seed=1")
    assert len(optuna.get_all_study_summaries(STORAGE)) == 2


def test_a_search_that_cannot_be_prepared_does_not_begin(command):
    Path("outputs").mkdir()
    Path("outputs/search").touch()
    code, said = command(*SEARCH)
    assert code == 2 and said.strip().endswith("outputs/search: File exists") and "Callback" not in said
