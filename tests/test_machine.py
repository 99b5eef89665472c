"""What a fit uses of the machine."""

import mmap
import sys

import pytest
import torch

import dip_lab.machine as machine_module
from dip_lab.shortage import LEAST, check_limits, out_of_memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Four GPUs, as the device files show them."""
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(machine_module, "DEVICES", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "put back afterwards")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)


@pytest.mark.parametrize("visible, gpu, job, seen", [
    (None, "auto", 0, "0"), (None, "auto", 3, "10"), (None, "auto", 5, "1"), (None, "auto", None, None),
    (None, 2, None, "2"), (None, 1, 7, "1"), ("4,6", "auto", 3, "6"), ("4,6", 1, None, "6"), ("7", "auto", 5, "7"),
    ("", "auto", 5, ""),
])
def test_a_job_sees_one_gpu(visible, gpu, job, seen, machine, monkeypatch):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine_module.use_gpu(gpu, job)
    assert machine_module.os.environ.get("CUDA_VISIBLE_DEVICES") == seen


def test_there_is_no_such_gpu(machine):
    with pytest.raises(ValueError, match="gpu=4: this machine has 4 GPUs: give a number from 0 to 3"):
        machine_module.use_gpu(4, None)
    with pytest.raises(ValueError, match="gpu=first"):
        machine_module.use_gpu("first", None)


def test_nothing_changes_once_cuda_has_started(machine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    machine_module.use_gpu("auto", 1)
    assert "CUDA_VISIBLE_DEVICES" not in machine_module.os.environ


def test_threads(one_thread, monkeypatch):
    monkeypatch.setattr(machine_module, "ALL_THREADS", 2)
    machine_module.use_threads("auto")
    assert torch.get_num_threads() == 2
    machine_module.use_threads(1)
    assert torch.get_num_threads() == 1
    with pytest.raises(ValueError, match="threads=0"):
        machine_module.use_threads(0)


def test_a_failed_allocation_is_found_behind_other_errors():
    with pytest.raises(RuntimeError) as allocation:
        torch.empty(2**62, dtype=torch.uint8)
    outer = ValueError("cannot be built")
    outer.__cause__ = allocation.value
    assert out_of_memory(outer) is allocation.value and out_of_memory(MemoryError())
    assert out_of_memory(ValueError("a bug")) is None


@pytest.mark.parametrize("error", [
    RuntimeError("could not create a primitive"), RuntimeError("could not create a memory object"),
    RuntimeError("could not execute a primitive"), RuntimeError("can't start new thread"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"), OSError(12, "Cannot allocate memory"),
])
def test_other_words_for_it(error):
    assert out_of_memory(error) is error


def test_a_limit_that_is_too_small_for_the_libraries_is_refused(monkeypatch):
    check_limits()
    monkeypatch.setattr(machine_module.resource, "getrlimit", lambda which: (300 * 2**20, -1))
    with pytest.raises(ValueError, match=r"ulimit -v allows this process 300 MiB, a fit needs at least 1536"):
        check_limits()
    assert all(least > 300 * 2**20 for _, least in LEAST.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")
def test_the_peak_of_an_earlier_cell_does_not_count():
    block = mmap.mmap(-1, 256 * 2**20)
    block.write(bytes(len(block)))
    block.close()
    before = machine_module.peak_memory_mb("cpu")
    machine_module.free_memory()
    assert machine_module.peak_memory_mb("cpu") < before - 200
