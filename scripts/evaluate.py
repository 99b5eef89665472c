"""Trained restorers on test sets: `python scripts/evaluate.py outputs/train/<run> data=set12,bsd68`; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

from dip_lab.ctrl_c import quiet  # noqa: E402

quiet()

from dip_lab.evaluate import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
