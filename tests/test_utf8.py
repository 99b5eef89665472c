"""Names that are not ASCII, whatever the locale and the terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PRINTS = "import sys; from dip_lab.utf8 import use_utf8; use_utf8(); print(sys.argv[1]); print(ascii(sys.argv[1]))"


@pytest.mark.parametrize("setting, shown", [
    ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "фото.png"),
    ({"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"}, "????.png"),
])
def test_another_locale_and_another_terminal(setting, shown):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **setting}
    said = subprocess.run([sys.executable, "-c", PRINTS, "фото.png"], env=environment,
                          capture_output=True, check=True).stdout.decode()
    assert said.splitlines() == [shown, ascii("фото.png")]


def test_a_name_that_is_not_utf8(command):
    name = os.fsdecode(b"caf\xe9.png")
    Path("папка").mkdir()
    Image.new("L", (16, 16)).save(Path("папка", name))
    code, said = command("-m", "data=folder", "data.path=папка", "baseline=median")
    assert code == 0 and "1 done, 0 skipped, 0 failed" in said
    assert "caf?" in Path("outputs/denoise/summary.csv").read_text(encoding="utf-8")
    assert Path("outputs/denoise/report.html").exists()


def test_no_file_is_read_or_written_in_the_encoding_of_the_locale():
    for folder in ("dip_lab", "hydra_plugins", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            for line in path.read_text(encoding="utf-8").splitlines():
                opens = re.search(r"(?<![\w.])(?<!def )open\(|\.(read|write)_text\(", line)
                assert not opens or "encoding=" in line or re.search('"[rw]b[+]?"', line), f"{path}: {line}"
