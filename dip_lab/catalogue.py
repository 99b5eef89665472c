"""The options, read from the YAML files themselves; `--help` and docs/networks.md are made from them. No torch."""

import re
import textwrap
from pathlib import Path

# The folders of configs/, in the order in which `--help` lists them.
GROUPS = ("data", "task", "video", "splits", "latent", "net", "generator", "optimizer", "descent", "stopping",
          "average", "regularizer", "objective", "baseline", "callbacks", "answer", "trainer", "logger", "experiment",
          "hydra")
USAGE = """\
dip_lab fits an untrained network to one degraded picture and restores it.

    python run.py task=inpaint net=segnet                          one fit
    python run.py -m task=inpaint net=skip,unet,segnet seed=0,1    one fit for each combination, one table
    python run.py data=file data.path=photo.jpg task/noise=none    your own picture, as it is

  --cfg job    what will run: every value in it can be changed by its name, such as task.sigma=50
  -m           a sweep over values with commas; net='glob(*)' takes all options of a group
               hydra/launcher=joblib runs cells at once; hydra/sweeper=optuna searches intervals
  --hydra-help the other flags

"""


def config_folder() -> Path:
    """`configs/` of an installed package, or of a checkout."""
    package = Path(__file__).parent
    return next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())


def groups() -> list[str]:
    """The groups with options, each followed by those inside it, such as task/noise."""
    root = config_folder()
    folders = [folder for name in GROUPS for folder in (root / name, *sorted((root / name).rglob("*/")))]
    return [folder.relative_to(root).as_posix() for folder in folders if any(folder.glob("*.yaml"))]


def options(group: str) -> dict[str, list[str]]:
    """The options of a group, each with the comment lines that its YAML opens with."""
    return {path.stem: _comments(path) for path in sorted((config_folder() / group).glob("*.yaml"))}


def help_text() -> str:
    """All options of all groups with one line each."""
    text = USAGE
    for group in groups():
        lines = options(group)
        width = max(map(len, lines))
        text += f"{group}=\n"
        for name, comments in lines.items():
            text += textwrap.fill((comments or [""])[0], 118, initial_indent=f"  {name:<{width}}  ",
                                  subsequent_indent=" " * (width + 4)) + "\n"
        text += "\n"
    return text


def generators_table() -> str:
    """The table of networks in docs/networks.md, as Markdown."""
    lines = ["| `net=` | what it is | paper | its latent |", "| --- | --- | --- | --- |"]
    for name, comments in options("net").items():
        what, papers, *_ = [*comments, "", ""]
        links = "; ".join(re.sub(r"(.+), (https://.+)", r"[\1](\2)", paper) for paper in papers.split("; "))
        lines.append(f"| `{name}` | {what} | {links} | {_latent_of(name)} |")
    return "\n".join(lines)


def _comments(path: Path) -> list[str]:
    """The lines of the comment that a file opens with, but for Hydra's own `# @package`."""
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            comments.append(line.removeprefix("# "))
    return comments


def _latent_of(net: str) -> str:
    """The option of configs/latent that a net's YAML chooses, or that of the optimiser it brings, or of run.yaml."""
    text = (config_folder() / "net" / f"{net}.yaml").read_text(encoding="utf-8")
    for optimizer in re.findall(r"override /optimizer@_global_\.optimizer: (\w+)", text):
        text += (config_folder() / "optimizer" / f"{optimizer}.yaml").read_text(encoding="utf-8")
    text += (config_folder() / "run.yaml").read_text(encoding="utf-8")
    return re.search(r"(?:override /latent@_global_\.|- )latent: (\w+)", text)[1]
