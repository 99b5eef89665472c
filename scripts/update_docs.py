"""Update what is generated in docs/: `python scripts/update_docs.py`.

That is the table of networks in docs/networks.md, from configs/net, and docs/published.md, from docs/published/.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the checkout's dip_lab, installed or not

from dip_lab.catalogue import generators_table  # noqa: E402
from dip_lab.tables import ledger  # noqa: E402

PAGE = ROOT / "docs" / "networks.md"
BLOCK = re.compile(r"(<!-- generators -->\n).*?(\n<!-- /generators -->)", re.DOTALL)


def updated(text: str) -> str:
    """The page with a new table between its two marks."""
    return BLOCK.sub(lambda found: found[1] + generators_table() + found[2], text)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs" / "published.md").write_text(ledger.page(ROOT / "docs" / "published"), encoding="utf-8")
