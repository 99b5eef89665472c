"""The sweeper of dip_lab, `hydra/sweeper=cells`. Hydra takes plugins only from packages inside `hydra_plugins`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from dip_lab import sweep
from dip_lab.compose import cell_at
from dip_lab.compose import cells as cells_of
from dip_lab.instantiate import instantiate
from dip_lab.mistakes import explained
from dip_lab.runs.files import write_text
from dip_lab.runs.folder import is_done, settled
from dip_lab.runs.identity import Cell
from dip_lab.runs.ours import protect, refuse_another_experiment, refuse_group
from dip_lab.spelling import quoted
from dip_lab.targets import check_hydra


class CellSweeper(Sweeper):
    """A sweep over values with commas that launches only the cells that are left.

    Hydra's own sweeper composes each cell twice, and starts a process or a cluster job just to find that it is done.

    Args:
        params: {key: values} to be swept, written as on the command line, which overrides them; or a list of such
            maps, whose sweeps follow each other. Not kept: a sweep over experiments reads those of each experiment.
        max_batch_size: cells handed to the launcher at once; None: all of them.
    """

    def __init__(self, params: Mapping[str, str] | Sequence[Mapping[str, str]] | None, max_batch_size: int | None):
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Compute the cells that are left; one that cannot be composed is refused before any is computed."""
        loader, hydra_config = self.hydra_context.config_loader, HydraConfig.instance()
        cells: dict[Path, list[str]] = {}
        answers: dict[Path, DictConfig] = {}
        hashes: dict[Path, str] = {}
        for number, (overrides, cfg) in enumerate(cells_of(loader, self._load, arguments)):
            with open_dict(cfg):
                cfg.hydra.job.num = number
            hydra_config.set_config(cfg)  # the name of a cell needs its choices
            check_hydra(cfg.hydra)
            folder = _folder_of(cfg.hydra.sweep)
            cell = cell_at(cfg, cfg.hydra, folder)
            if hashes.setdefault(folder, cell.hash) != cell.hash:
                raise ValueError(f"hydra.sweep.subdir: two cells of this sweep have the folder {folder}")
            if folder not in cells:
                _protect(cell, cfg.rerun)
            # Said to the launcher, which counts only the cells that it starts: a folder may be `${hydra.job.num}`.
            cells.setdefault(folder, [*overrides, f"hydra.sweep.subdir={quoted(cfg.hydra.sweep.subdir)}"])
            if answers.setdefault(folder, cfg.answer) != cfg.answer:
                raise ValueError("answer=...: a sweep writes one format; give its command once for each (what is done "
                                 "is not fitted again from the start)")
        for group in {folder.parent for folder in cells}:
            refuse_group(group)
        hydra_config.set_config(self.config)
        formats = {folder: instantiate(answer) for folder, answer in answers.items()}

        def is_written(stem: Path) -> bool:
            return formats[stem.parent].is_written(stem)

        rerun, retry_failed = self.config.rerun, self.config.retry_failed
        if rerun or not all(settled(folder, retry_failed, is_written) for folder in cells):
            write_text(Path(self.config.hydra.sweep.dir) / "multirun.yaml", OmegaConf.to_yaml(self.config))
        sweep.compute(cells, self.launcher.launch, rerun, retry_failed, self.max_batch_size, is_written)

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        """A cell's config; a mistake is explained by the cell's own overrides, and not by those of the command."""
        with explained([*OmegaConf.to_container(self.config.hydra.overrides.hydra), *overrides]):
            return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))


def _folder_of(node: DictConfig) -> Path:
    """The folder of a cell, inside that of its group, by the node `hydra.sweep`."""
    group = Path(node.dir).absolute()
    folder = Path(os.path.normpath(group / node.subdir))
    if folder == group or not folder.is_relative_to(group):
        raise ValueError(f"hydra.sweep.subdir={node.subdir}: each cell needs a folder of its own inside "
                         "hydra.sweep.dir")
    return folder


def _protect(cell: Cell, rerun: bool) -> None:
    """Refuse what the cell would lose, before any cell is computed."""
    if not rerun:
        refuse_another_experiment(cell.folder, cell.hash)
    if rerun or not is_done(cell.folder):
        protect(cell, rerun)
