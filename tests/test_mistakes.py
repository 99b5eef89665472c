"""A spelling that the README once had is answered with the new one."""

import pytest

from dip_lab import restore
from dip_lab.mistakes import RENAMED


@pytest.mark.parametrize("old, new", [
    ("tiling.network=one", "tiling.network: is now splits/tiles=one or each"),
    ("tiling.overlap=8", "tiling.overlap: is now splits.tiles.overlap"),
    ("average.seeds=2", "average.seeds: is now splits.seeds.count"),
    ("stopping.shadow=[emv]", "stopping.shadow: is now shadow=[emv,wmv]"),
    ("net.init=kaiming", "net.init: is now generator.init"),
    ("net.init_from=outputs", "net.init_from: is now generator.init_from"),
    ("coarse_to_fine.factor=2", "coarse_to_fine.factor: is now generator.coarse_to_fine.factor"),
    ("optimizer.clip=1", "optimizer.clip: is now descent.clip"),
    ("optimizer.weight_noise=0.1", "optimizer.weight_noise: is now descent.weight_noise"),
    ("optimizer.schedule.warmup=3", "optimizer.schedule.warmup: is now descent.schedule.warmup"),
    ("logger.mode=online", "logger.mode: is now logger.wandb.mode"),
    ("optimizer/schedule=cosine", "optimizer/schedule: is now descent/schedule"),
])
def test_an_old_spelling_is_answered_with_the_new_one(old, new, command):
    assert old.split("=")[0].startswith(tuple(RENAMED))
    code, said = command(old)
    assert code == 2 and said.strip() == new
    with pytest.raises(ValueError, match=new.replace("[", r"\[").replace("]", r"\]")):
        restore(None, overrides=[old])
