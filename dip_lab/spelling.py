"""Arguments as people type them, rewritten to what Hydra's grammar understands. No torch."""

import os
import re
from collections.abc import Sequence

from dip_lab.catalogue import config_folder


def expand_shadow(arguments: Sequence[str]) -> list[str]:
    """`shadow=[emv,oracle]` as Hydra spells it: each name is an option of stopping, put at its own key.

    And `logger=null`, of every group that has an option `none`.

    >>> expand_shadow(["seed=1", "shadow=[emv]", "logger=null", "tile=null"])
    ['seed=1', '+stopping@shadow.emv=emv', 'logger=none', 'tile=null']
    """
    expanded = []
    for argument in arguments:
        names = re.fullmatch(r"shadow=\[([\w, ]*)\]", argument)
        group, _, option = argument.partition("=")
        if option == "null" and (config_folder() / group / "none.yaml").is_file():
            expanded.append(f"{group}=none")
        elif names:
            expanded += [f"+stopping@shadow.{name}={name}" for name in re.findall(r"\w+", names[1])]
        else:
            expanded.append(argument)
    return expanded


def quote_path(argument: str) -> str:
    """`data.path=my photo (1).jpg` as Hydra's grammar wants it; so is a colour. Any other value stays as it is.

    >>> quote_path("data.path=no such, file")
    'data.path=no such, file'
    >>> quote_path("task.mask.color=#e01b24")
    "task.mask.color='#e01b24'"
    """
    key, _, value = argument.partition("=")
    is_number = re.fullmatch(r"[-+]?\d+(\.\d+)?", value)  # a file may be called 25, but task.sigma=25 does not mean it
    is_colour = re.fullmatch(r"#[0-9a-fA-F]{3,8}", value)
    if is_colour or ("." in key and value and not is_number and os.path.exists(os.path.expanduser(value))):
        return f"{key}={quoted(value)}"
    return argument


def quoted(text: str) -> str:
    """A string literal of Hydra's grammar, in which a backslash is only special before a quote.

    >>> print(quoted("it's"))
    'it\\'s'
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text) + "'"


def own_configs(arguments: Sequence[str]) -> list[str]:
    """The folder of `-cd folder` as an override, for configs that are composed without the command line.

    >>> own_configs(["-cd", "/lab", "net=tiny"])
    ['hydra.searchpath=[file:///lab]']
    """
    flags = "(?:-cd|--config-dir)"
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if found := re.fullmatch(f"{flags}(?:=(.+))?", argument):
            return [f"hydra.searchpath=[file://{os.path.abspath(os.path.expanduser(found[1] or following))}]"]
    return []
