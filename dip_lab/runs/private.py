"""A folder of this user's in the temporary folder, which others can write to as well. No torch."""

import os
import stat
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / f"dip_lab-{os.getuid()}"


def private_folder(folder: Path) -> Path:
    """The folder, made if it is not there.

    Raises:
        OSError: somebody else has made it, others may write there, or it is a link.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's own folder")
    return folder
