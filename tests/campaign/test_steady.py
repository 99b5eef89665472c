"""The memory of a process that computes 150 cells, a third of which fail."""

import os
import re
import subprocess
import sys
from statistics import median

import pytest
from lives import ROOT, TINY

pytestmark = pytest.mark.campaign
CELLS, PER_CELL = 150, 1.0  # MB that a cell may leave
PROGRAM = """
import sys
from dip_lab import cli, experiment
from dip_lab.results.restoration import Restoration
for plot in ("curves", "panel"):
    setattr(Restoration, plot, lambda self: b"a plot")
run, seen = experiment.run, []
def watched(cfg, *rest):
    seen.append(int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20)
    restoration = run(cfg, *rest)
    if cfg.seed % 3 == 0: raise RuntimeError('a bug')
    return restoration
experiment.run = watched
sys.argv = ['run.py', '-m', *sys.argv[1:]]
code = cli.main()
print('CODE', code)
print('RSS', *(f'{each:.1f}' for each in seen))
"""


def test_150_cells_in_one_process(tmp_path, tally):
    t = tally(f"cells in one process, each leaving less than {PER_CELL:g} MB")
    overrides = [each for each in TINY if not each.startswith(("iterations", "data.size"))]
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *overrides, "iterations=4", "data.size=32",
                          f"seed=range(0,{CELLS})"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
                         env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    seen = list(map(float, re.search(r"RSS (.*)", ran.stdout)[1].split()))
    assert len(seen) == CELLS and "CODE 1" in ran.stdout, ran.stdout[-500:] + ran.stderr[-500:]
    early, late = median(seen[20:40]), median(seen[-20:])
    print(f"{early:.0f} MB -> {late:.0f} MB")
    grown = (late - early) / (CELLS - 40)
    for number in range(CELLS):
        t.add(number, f"{grown:.2f} MB a cell, {early:.0f} -> {late:.0f} MB" if grown > PER_CELL else None)
    t.conclude()
