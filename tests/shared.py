"""The pictures of `../shared/data`: where they are and which tests need them is defined only here.

The project works without them, so those tests are skipped where they are absent; the last line of a run says how many.
"""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("DIP_LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
REASON = "needs the shared pictures"


def shared(*paths: str) -> pytest.MarkDecorator:
    """Marks a test, or a module as its `pytestmark`, that needs these files or folders of the shared data."""
    missing = [path for path in paths if not (DATA / path).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"{REASON}: {', '.join(missing)} (DIP_LAB_DATA names their folder)")
