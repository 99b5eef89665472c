"""Write constraints.txt anew: the versions that a fresh install of everything takes today. CI installs the same.

`python scripts/update_constraints.py` with the oldest Python that the project supports; it takes some minutes. The
ranges that really work are those of pyproject.toml.
"""

import re
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# The versions that CI tests with; `python scripts/update_constraints.py` renews them\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", "-e", f"{ROOT}[dev]"], check=True)
        subprocess.run([*pip, "check"], check=True)
        frozen = subprocess.run([*pip, "freeze", "--exclude-editable"], check=True, capture_output=True, text=True)
    (ROOT / "constraints.txt").write_text(HEAD + as_constraints(frozen.stdout), encoding="utf-8")


def as_constraints(frozen: str) -> str:
    """Versions only: no addresses, and no local parts such as +cpu, which other indices do not have.

    >>> as_constraints("torch==2.13.0+cpu\\nnumpy==2.4.0\\nx @ file:///x.whl\\n")
    'torch==2.13.0\\nnumpy==2.4.0\\n'
    """
    pinned = re.findall(r"^([\w.-]+==[\w.!]+)", frozen, re.MULTILINE)
    return "".join(f"{line}\n" for line in pinned)


if __name__ == "__main__":
    main()
