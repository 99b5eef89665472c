"""A cell is made once, and its identity is passed on."""

from pathlib import Path

import pytest
from PIL import Image

from dip_lab.compose import cell_at, compose
from dip_lab.data import registry
from dip_lab.runs import identity


def cell(*overrides, folder=None):
    cfg = compose(["logger=none", *overrides])
    return cell_at(cfg, cfg.hydra, folder)


def test_a_name_says_what_it_is():
    one = cell("net=unet", "seed=3")
    assert one.name == f"denoise-unet-astronaut-{one.hash}" and one.seed == 3
    assert cell("baseline=nlm").name.startswith("denoise-nlm-astronaut-")
    assert one.description["config_hash"] == one.hash and one.provenance["config"]["seed"] == 3


def test_what_was_overridden_is_kept():
    overrides = cell("net=unet", "task.sigma=50", "seed=3").overrides
    assert overrides == {"net": "unet", "task.sigma": 50, "seed": 3, "logger": "none"}


def test_a_long_text_is_no_file():
    """Of 300 letters, the file system raises where it would say no to a shorter name."""
    assert cell("task.observation=" + "x" * 300).hash != cell("task.observation=" + "y" * 300).hash


def test_a_text_of_the_environment_is_used_and_not_recorded(monkeypatch, tmp_path):
    """The hash is that of the value, whatever stands in its place in the record; a number is no secret."""
    monkeypatch.setenv("PLACE", str(tmp_path / "s3cret"))
    monkeypatch.setenv("SEED", "3")
    written = "data=folder", "data.path=${oc.env:PLACE}/photos", "generator.init_from=${data.path}", "data.name=a"
    one = cell(*written, "seed='${oc.decode:${oc.env:SEED}}'")
    assert one.config["data"]["path"] == one.config["generator"]["init_from"] == f"{tmp_path}/s3cret/photos"
    assert one.hash == cell("data=folder", f"data.path={tmp_path}/s3cret/photos", "data.name=a", "seed=3",
                            f"generator.init_from={tmp_path}/s3cret/photos").hash
    recorded = one.provenance
    assert recorded["config"]["data"]["path"] == recorded["overrides"]["data.path"] == "${oc.env:PLACE}/photos"
    assert recorded["config"]["generator"]["init_from"] == "${oc.env:PLACE}/photos" and recorded["config"]["seed"] == 3
    assert "s3cret" not in str(recorded) and "s3cret" not in str(one.description)
    monkeypatch.setenv("PLACE", str(tmp_path / "other"))
    assert cell(*written, "seed=3").hash != one.hash
    monkeypatch.delenv("PLACE")
    assert cell("data=file", "data.path=${oc.env:PLACE,x.png}").recorded["data"]["path"] == "${oc.env:PLACE,x.png}"


def test_a_part_has_a_folder_inside_and_the_same_hash():
    whole = cell(folder=Path("outputs/x"))
    part = whole.inside("seed1", 1)
    assert part.folder == Path("outputs/x/seed1") and part.seed == 1 and part.hash == whole.hash
    assert cell().inside("parts/0000").folder is None


def test_a_file_is_read_once_however_many_tiles_there_are(command, monkeypatch):
    reads, cells, read, make = [], [], registry._content.__wrapped__, identity.cell_of
    registry._content.cache_clear()
    monkeypatch.setattr(registry, "_content", registry.cache(lambda *key: reads.append(key) or read(*key)))
    monkeypatch.setattr("dip_lab.compose.cell_of", lambda *rest: cells.append(rest) or make(*rest))
    Image.radial_gradient("L").resize((40, 40)).save("large.png")
    code, said = command("data=file", "data.path=large.png", "tile=20", "splits.tiles.overlap=4", "iterations=1",
                         "net.width=4", "net.depth=2", "logger=none", "log_every=1")
    assert code == 0 and "part 9 of 9" in said
    assert len(reads) == 1
    assert len(cells) == 4  # twice to see whether it is done, for the folder's name, and to be passed on


@pytest.mark.parametrize("given, chosen", [("average=none", {"average": "none"}), ("baseline=nlm", {"net": None})])
def test_options_are_those_that_make_the_experiment(given, chosen):
    assert chosen.items() <= cell(given).options.items()
