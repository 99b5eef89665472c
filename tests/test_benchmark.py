"""The benchmark's contenders compute the same thing, and its report its ratios."""

import csv
import importlib.util
import io
import sys
from pathlib import Path

import pytest
import torch

from dip_lab.nets.skip import Skip

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["benchmark"]


class Pipe:
    """The worker's end of a pipe whose parent asks for some blocks and then closes it."""

    def __init__(self, *blocks):
        self.blocks = list(blocks)
        self.sent = []

    def send(self, content):
        self.sent.append(content)

    def recv(self):
        if not self.blocks:
            raise EOFError
        return self.blocks.pop(0)


def test_textbook_network_is_dip_labs(benchmark):
    torch.manual_seed(0)
    theirs = benchmark.textbook_net()
    ours = Skip(32, 3, 128, 5, None, 4, 3, 3, 1, "stride", "bilinear", "reflection", True, "leaky_relu")
    pairs, scale = [(theirs[2], ours.head)], theirs[0]
    for mine in ours.scales:
        side, down = scale[0], (scale[0].deeper[0], scale[0].deeper[1])
        pairs += [(side.branch, mine.branch), (torch.nn.ModuleList(down), mine.down)]
        merge = [scale[1], scale[2][1], scale[2][2], scale[3]]
        pairs.append((torch.nn.ModuleList(merge), torch.nn.ModuleList([mine.merge, mine.up])))
        scale = side.deeper[2]
    copied = 0
    with torch.no_grad():
        for source, copy in pairs:
            for value, parameter in zip(source.parameters(), copy.parameters(), strict=True):
                parameter.copy_(value)
                copied += value.numel()
    assert copied == benchmark.PARAMETERS == sum(p.numel() for p in ours.parameters())
    z = torch.rand(1, 32, 64, 64)
    torch.testing.assert_close(theirs(z), ours(z), rtol=0, atol=1e-4)


@pytest.mark.parametrize("loop", ["textbook", "bare", "dip_lab"])
def test_a_loop_runs_the_blocks_it_is_asked_for(benchmark, monkeypatch, loop):
    monkeypatch.setattr("dip_lab.machine.tune_allocator", lambda: True)  # acts on the whole process
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    steps = []
    adam = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *a, **k: (steps.append(1), adam(self, *a, **k))[1])
    pipe = Pipe(1, 2)
    benchmark.work(pipe, benchmark.Contender(loop, "skip", "float32"), 64, "cpu", 3)
    about, *blocks = pipe.sent
    assert about["arithmetic"] == "float32" and about["gpu"] is None
    assert about["capability"].startswith(torch.backends.cpu.get_cpu_capability())
    assert len(blocks) == 2, blocks
    assert all(seconds > 0 and memory > 10 for seconds, memory in blocks)
    assert len(steps) == 3


def test_a_failure_is_sent_to_the_parent(benchmark, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pipe = Pipe()
    benchmark.work(pipe, benchmark.Contender("bare", "skip", "float32"), 64, "cuda", 3)
    assert "sees no CUDA device" in pipe.sent[0]


def test_report(benchmark):
    contenders = [benchmark.TEXTBOOK, *(benchmark.Contender(loop, "skip", "auto") for loop in ("dip_lab", "bare"))]
    seconds = [[0.4, 0.8, 0.6], [0.2, 0.2, 0.3], [0.1, 0.16, 0.25]]
    textbook, dip_lab, bare = rows = benchmark.rows_of(64, contenders, ["float32", "bf16", "bf16"], seconds, [9, 8, 7])
    assert (textbook.speedup_least, textbook.speedup, textbook.speedup_most) == (1, 1, 1)
    assert (dip_lab.speedup_least, dip_lab.speedup, dip_lab.speedup_most) == pytest.approx((2, 2, 4))
    assert dip_lab.seconds_per_step == 0.2
    assert dip_lab.overhead_percent == pytest.approx(25) and dip_lab.overhead_ms == pytest.approx(50)
    assert bare.overhead_percent is None
    table = benchmark.as_markdown(rows, "cpu").splitlines()
    assert table[3] == "| 64 | dip_lab skip auto (bf16) | 0.2 | 2.00 (2.00 to 4.00) | +25.0 %, +50.00 ms | 8 |"
    read = list(csv.DictReader(io.StringIO(benchmark.as_csv(rows, "a machine"))))
    assert float(read[1]["speedup_most"]) == pytest.approx(4) and read[2]["overhead_ms"] == ""
    assert read[0]["machine"] == "a machine"


def test_the_overhead_is_over_bare_with_the_same_net_and_precision(benchmark):
    pairs = [("skip", "auto"), ("skip", "float32"), ("skip_narrow", "auto")]
    contenders = [benchmark.Contender(loop, *pair) for pair in pairs for loop in ("dip_lab", "bare")]
    seconds = [[0.3], [0.2], [0.9], [0.6], [0.2], [0.1]]
    rows = benchmark.rows_of(64, contenders, ["bf16"] * 6, seconds, [1] * 6)
    assert [row.overhead_ms for row in rows[::2]] == pytest.approx([100, 300, 100])
    alone = benchmark.rows_of(64, contenders[:1], ["bf16"], seconds[:1], [1])
    assert benchmark.cells(alone[0]) == ["64", "dip_lab skip auto (bf16)", "0.3", "", "", "1"]


def test_the_contenders_that_the_arguments_ask_for(benchmark, monkeypatch):
    class Started(Exception):
        pass

    def start(contenders, size, device):
        raise Started(*map(str, contenders))

    monkeypatch.setattr(benchmark, "workers", start)
    chosen = benchmark.parser().parse_args("step --nets skip skip_narrow --precision auto float32 --loops dip_lab "
                                           "textbook".split())
    with pytest.raises(Started) as started:
        chosen.run(chosen)
    assert started.value.args == ("textbook", "dip_lab skip auto", "dip_lab skip float32", "dip_lab skip_narrow auto",
                                  "dip_lab skip_narrow float32")


@pytest.mark.parametrize("size", ["32", "100"])
def test_sizes_the_published_network_cannot_take(benchmark, capsys, size):
    with pytest.raises(SystemExit):
        benchmark.parser().parse_args(["step", "--sizes", size])
    assert "multiples of 32 from 64" in capsys.readouterr().err


def test_the_cost_of_the_published_network_is_the_published_one(benchmark, monkeypatch):
    """The count of ../shared/reference/performance.md, in plain steps: 7.2 GFLOP an iteration at 64 px."""
    monkeypatch.setattr("dip_lab.nets.merge.LARGE", float("inf"))  # no rewrite, which takes fewer
    monkeypatch.setattr("dip_lab.machine.tune_allocator", lambda: True)  # acts on the whole process
    cost = benchmark.net_costs.measure("skip", 64, "cpu", "float32", 1)
    assert cost.parameters == 2_217_831
    assert cost.gflops == pytest.approx(7.2, rel=0.02)
    assert cost.seconds > 0


def test_the_table_of_costs(benchmark):
    costs = [benchmark.net_costs.Cost("skip", 2_217_831, 7.25, 0.1234, 321.4)]
    assert benchmark.net_costs.as_markdown(costs).splitlines()[-1] == "| skip | 2,217,831 | 7.2 | 0.123 | 321 |"
    read = list(csv.DictReader(io.StringIO(benchmark.net_costs.as_csv(costs, 64, "a machine"))))
    assert read[0]["parameters"] == "2217831" and read[0]["size"] == "64" and read[0]["machine"] == "a machine"


@pytest.mark.parametrize("command", ["step", "nets"])
def test_an_unknown_net_is_refused_with_the_known_ones(benchmark, capsys, command):
    with pytest.raises(SystemExit):
        benchmark.parser().parse_args([command, "--nets", "skipp"])
    message = capsys.readouterr().err
    assert "skipp" in message and "conv_decoder" in message and "skip_narrow" in message
