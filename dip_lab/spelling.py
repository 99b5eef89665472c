"""Arguments as people type them, rewritten to what Hydra's grammar understands. No torch."""

import os
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from dip_lab.catalogue import config_folder, groups, options

SEVERAL = ("regularizer", "logger", "experiment", "callbacks", "task/operators")  # groups that take several options
OF_FILES = re.compile(r"\.(path|paths|name|root|init_from|dir|subdir)$")  # keys whose values are names of files
NO_TEXT = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?|true|false|null", re.IGNORECASE)  # even where a file is called so


def spelled(arguments: Sequence[str]) -> list[str]:
    """Overrides for Hydra: names of files are quoted, and short forms are written out.

    Raises:
        ValueError: a group is given something else than its options' names.
    """
    arguments = [_with_slashes(argument) for argument in arguments]
    for argument in arguments:
        _check_group(argument)
    return [_with_quotes(argument) for argument in written_out(arguments)]


def _with_slashes(argument: str) -> str:
    """An option of a group inside another, chosen as if it were a value, which it would replace by its mere name.

    >>> _with_slashes("task.noise=poisson"), _with_slashes("task.noise.sigma=3"), _with_slashes("task.noise={a: 1}")
    ('task/noise=poisson', 'task.noise.sigma=3', 'task.noise={a: 1}')
    """
    key, _, value = argument.partition("=")
    group = key.replace(".", "/")
    chosen = "." in key and group in groups() and set(value.split(",")) <= set(options(group))
    return f"{group}={value}" if chosen else argument


def _check_group(argument: str) -> None:
    """Refuse for a group what Hydra answers with a traceback or without the group's name: numbers, maps, no option."""
    key, _, value = argument.lstrip("+").partition("=")
    if key.startswith("~") and key[1:] in groups():
        raise ValueError(f"{argument}: a run needs an option of {key[1:]}: choose another one, see --help")
    if key == "shadow" and re.search(r"\d+\b|:", re.sub(r"[a-z]\w*", "", value)):
        raise ValueError(f"{argument}: give the names of stopping rules: shadow=[emv,wmv]")
    if key not in groups():
        return
    if value.startswith("[") and key not in SEVERAL:
        names = re.sub(r"[][' ]", "", value) or "..."
        raise ValueError(f"{argument}: {key} takes one option; to compare them: python run.py -m {key}={names}")
    names_options = not (value.startswith("{") or any(map(NO_TEXT.fullmatch, re.split(r"\s*,\s*", value.strip("[] ")))))
    may_be_none = key == "experiment" or (config_folder() / key / "none.yaml").is_file()
    if not (names_options or (value == "null" and may_be_none)):
        raise ValueError(f"{argument}: {key} takes the name of an option: --help lists them")


def written_out(arguments: Sequence[str]) -> list[str]:
    """Short forms as Hydra spells them.

    In `shadow=[emv,oracle]` each name is an option of stopping, put at its own key. `logger=null` is the option `none`
    of a group that has one.

    >>> written_out(["seed=1", "shadow=[emv]", "logger=null", "tile=null"])
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


def quoted(text: str) -> str:
    """Any text as a string literal of Hydra's grammar, in which a backslash is only special before a quote.

    >>> print(quoted("it's ${x}"))
    'it\\'s \\${x}'
    """
    found = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), escaped(text))
    return f"'{found}'"


def escaped(text: str) -> str:
    """The value of OmegaConf that resolves to this text, in which `${` may be a part of a file's name.

    >>> print(escaped("${x}.png"))
    \\${x}.png
    """
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)


def own_configs(folder: str | None) -> list[str]:
    """The folder of `-cd folder` as an override, for configs that are composed without the command line.

    >>> own_configs("/")
    ["hydra.searchpath=['file:///']"]

    Raises:
        ValueError: there is no such folder.
    """
    if folder and not os.path.isdir(folder):
        raise ValueError(f"-cd {folder}: the folder is not found")
    return [f"hydra.searchpath=[{quoted('file://' + os.path.abspath(folder))}]"] if folder else []


def _with_quotes(argument: str) -> str:
    """`data.path=my photo (1).jpg` as Hydra wants it; also in a list, and among the values of a sweep.

    Between commas, the longest text that is the name of a file counts as one name, and `~/` is the home folder. A text
    that Hydra cannot read stays as it is, unless the key asks for a file: then what is wrong is that there is none.

    >>> _with_quotes("task.text=no such, file"), _with_quotes("data.path=[1].png")
    ('task.text=no such, file', "data.path='[1].png'")
    >>> _with_quotes("task.mask.color=#e01b24")
    "task.mask.color='#e01b24'"
    """
    key, _, value = argument.partition("=")
    if "." not in key or not value:
        return argument
    if re.fullmatch("#[0-9a-fA-F]{3,8}", value):  # a colour, which Hydra takes for a comment
        return f"{key}={quoted(value)}"
    around = None if _is_file(value) else re.fullmatch(r"(\[|choice\(|shuffle\()(.*)([])])", value)
    before, inside, after = around.groups() if around else ("", value, "")
    names = _names(inside.split(","))
    argument = f"{key}={before}{','.join(names)}{after}"
    if OF_FILES.search(key) and not _is_readable(argument):
        names = [name if _is_readable(f"{key}={name}") else quoted(name) for name in names]
        argument = f"{key}={before}{','.join(names)}{after}"
    return argument


def _names(words: Sequence[str]) -> list[str]:
    """The words between commas; those that together name a file are one, in quotes."""
    names, start = [], 0
    while start < len(words):
        ends = (end for end in range(len(words), start, -1) if _is_file(",".join(words[start:end])))
        end = next(ends, None)
        word = ",".join(words[start:end or start + 1])
        names.append(quoted(os.path.expanduser(word.strip())) if end else word)
        start = end or start + 1
    return names


def _is_file(text: str) -> bool:
    """Whether there is such a file or folder, or the text starts at a home folder."""
    place = os.path.expanduser(text.strip())
    return bool(place) and not NO_TEXT.fullmatch(text) and (place != text.strip() or os.path.exists(place))


def _is_readable(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
