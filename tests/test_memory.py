import os
import sys

import pytest
import torch
from needs import options

from dip_lab import memory
from dip_lab.build import build_generator, build_problem
from dip_lab.compose import cell_at, compose
from dip_lab.data.images import Images
from dip_lab.experiment import run

CPU = torch.device("cpu")


def generator_of_size(size, *overrides):
    cfg = compose(["precision=float32", *(overrides or ["net.width=8"])])
    return build_generator(cfg, build_problem(cfg.task, Images("x", torch.rand(1, 3, size, size)), 0))


def needed(size, *overrides):
    return memory.bytes_needed(generator_of_size(size, *overrides), (1, 3, size, size), CPU)


def test_it_grows_with_the_pixels_and_not_with_the_iterations():
    assert 3.2 < needed(512) / needed(256) < 4.5  # less than 4: larger maps are computed in a leaner way
    assert needed(256, "net.width=8", "precision=bf16") < 0.8 * needed(256)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("net", options("net"))
def test_a_gpu_is_asked_for_about_as_much(net, precision):
    generator = generator_of_size(128, f"net={net}", f"precision={precision}")
    shape = tuple(generator.latent.z.shape)
    on_cpu, on_gpu = (memory._activations(generator, shape, device) for device in ("cpu", "cuda"))
    assert 0.8 * on_cpu < on_gpu < 1.6 * on_cpu


def test_activations_are_those_that_autograd_keeps():
    generator = generator_of_size(64)
    kept = {}

    def keep(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        image = generator.net(generator.latent.z)
    estimated = memory._activations(generator, tuple(generator.latent.z.shape), "cpu")
    assert image.requires_grad and estimated == pytest.approx(sum(kept.values()), rel=0.1)


def test_the_network_is_left_as_it_was():
    generator = generator_of_size(64)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    memory.bytes_needed(generator, (1, 3, 64, 64), CPU)
    assert all(torch.equal(before[key], value) for key, value in generator.state_dict().items())


def test_too_little_memory_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(memory, "bytes_free", lambda device: 128 * 2**20)
    cfg = compose(["net.width=32", "iterations=1", "logger=none", "precision=float32"])
    with pytest.raises(ValueError, match=r"^640 x 600 px need about [\d.]+ GiB of memory with this network, 0.1 are "
                                         r"free: try tile=\d+ \(about [\d.]+ GiB\), or a smaller data.size"):
        run(cfg, cell_at(cfg, cfg.hydra, None), Images("x", torch.rand(1, 3, 600, 640)))


@pytest.mark.parametrize("task", ["mri", "ct"])
def test_an_operator_without_windows_gets_no_tile_as_remedy(task, monkeypatch):
    monkeypatch.setattr(memory, "bytes_free", lambda device: 2**20)
    cfg = compose([f"task={task}", "net.width=4", "iterations=1", "logger=none", "precision=float32"])
    with pytest.raises(ValueError, match="are free: try a smaller data.size, or a narrower net$"):
        run(cfg, cell_at(cfg, cfg.hydra, None), Images("x", torch.rand(1, 1, 264, 264)))


def test_no_limit_known_is_no_refusal(monkeypatch):
    problem = build_problem(compose([]).task, Images("x", torch.rand(1, 3, 264, 264)), 0)
    generator = generator_of_size(264)
    monkeypatch.setattr(memory, "bytes_free", lambda device: 2**20)
    with pytest.raises(ValueError, match="0.0 are free"):
        memory.check_memory(generator, problem, CPU)
    monkeypatch.setattr(memory, "bytes_free", lambda device: None)
    assert memory.check_memory(generator, problem, CPU) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_is_free_is_a_part_of_the_machine_s_memory():
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**20 < memory.bytes_free(CPU) <= whole


def test_a_limit_that_cannot_be_read_does_not_count(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_available", lambda path: 3 * 2**30)
    monkeypatch.setattr(memory, "_of_container", lambda path: int("max"))
    assert memory.bytes_free(CPU) == 3 * 2**30
    monkeypatch.setattr(memory, "_of_container", lambda path: 2**30)
    assert memory.bytes_free(CPU) == 2**30
