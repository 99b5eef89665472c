"""What every data source offers. No torch: the command line asks a source for its names before anything is fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dip_lab.data.images import Images


class Source:
    """Where the picture comes from. A subclass is a dataclass whose fields are the keys of its YAML.

    A new one defines `load`; one with several pictures to choose from also defines `names`. Torch is only imported
    inside `load`.

    Attributes:
        clean: its pictures are known to have no noise. A source of a person's own has a key of this name.
    """

    clean: bool = True

    def load(self) -> Images:
        """Read it.

        Raises:
            ValueError: it is not clear which picture is meant, or it cannot be used.
        """
        raise NotImplementedError

    def names(self) -> list[str] | None:
        """The values that `data.name` may take, for `-m data.name='glob(*)'`. Default: None, there is no choice.

        Raises:
            ValueError: the folder cannot be listed.
        """
        return None

    @property
    def label(self) -> str:
        """The picture's name as far as it is known without reading it: a part of the run's name."""
        return "picture"

    def identity(self) -> dict[str, Any]:
        """Values that replace the source's own keys in the hash of a cell. Default: none.

        A key that names a file always counts by the file's content. A source that picks a file by another key says here
        which file it is, so that neither the picture's name nor its folder counts.
        """
        return {}
