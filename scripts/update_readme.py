"""Write the README's table of generators anew from configs/net: `python scripts/update_readme.py`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the checkout's dip_lab, installed or not

from dip_lab.catalogue import generators_table  # noqa: E402

BLOCK = re.compile(r"(<!-- generators -->\n).*?(\n<!-- /generators -->)", re.DOTALL)


def updated(text: str) -> str:
    """The README with the table between its two marks replaced."""
    return BLOCK.sub(lambda found: found[1] + generators_table() + found[2], text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text()))
