"""What every operator promises. Each one that a YAML of configs/ names is found: a new one is tested without a line."""

import functools
import pydoc
import re
from pathlib import Path

import pytest
import torch
from needs import CONFIGS, needed, options
from omegaconf import OmegaConf

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.frames import ALL
from dip_lab.tasks.chain import Chain
from dip_lab.tasks.operators import Local, Operator, unit_of, windowed

NOWHERE = Path("nowhere")  # the guide's file is named and not read
TASKS = {task: [f"task={task}", *needed([f"task={task}"], NOWHERE)] for task in options("task")}
LINKS = {f"a chain of {path.stem}": ["task=chain", f"task/operators={path.stem}"]
         for path in CONFIGS.glob("task/operators/*.yaml")}
CASES = {case: TASKS.get(case) or LINKS[case] for case in (*sorted(TASKS), *sorted(LINKS))}

pytestmark = pytest.mark.usefixtures("one_thread")
# deepinv warns about its own parts
QUIET = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
every_operator = pytest.mark.parametrize("case", [pytest.param(case, marks=QUIET) if case == "deepinv" else case
                                                  for case in CASES])
every_picture = pytest.mark.parametrize("shape", [(3, 17, 23), (3, 20, 16), (1, 17, 23), (1, 20, 16)], ids=str)


@functools.cache
def task_of(case):
    return compose(CASES[case]).task


@pytest.fixture
def problem_of(monkeypatch):
    """`problem_of(case, (channels, height, width))`: the problem that a task makes of a picture."""
    monkeypatch.setenv("DIP_LAB_TARGETS", "deepinv")

    def make(case, shape):
        if case == "deepinv":
            pytest.importorskip("deepinv")
        sources = 2 if pydoc.locate(task_of(case).operator._target_).broadcasts else 1
        pixels = torch.rand(sources, *shape, generator=torch.Generator().manual_seed(1))
        try:
            return build_problem(task_of(case), Images("sample", pixels), seed=0)
        except ValueError as error:
            if shape[0] == 1 and "is grey" in str(error):
                pytest.skip("for colour pictures only")
            raise

    return make


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def targets(text):
    return set(re.findall(r"_target_: *([\w.]+)", text))


def test_no_operator_of_the_configs_is_left_out():
    named = set().union(*(targets(path.read_text()) for path in CONFIGS.rglob("*.yaml")))
    located = {name: pydoc.locate(name) for name in named if name.startswith("dip_lab.")}
    operators = {name for name, found in located.items() if isinstance(found, type) and issubclass(found, Operator)}
    tested = set().union(*(targets(OmegaConf.to_yaml(task_of(case).operator, resolve=True)) for case in CASES))
    assert len(operators) > 10 and operators <= tested


@every_picture
@every_operator
def test_the_adjoint_is_exact(case, shape, problem_of):
    problem = problem_of(case, shape)
    operator, x = problem.operator.double(), random(2, *problem.image_shape[1:])
    y = operator(x) - operator(torch.zeros_like(x))
    u = random(*y.shape, seed=1)
    back = operator.adjoint(u)
    assert y.dtype == torch.float64 and back.shape == x.shape
    assert operator.image_shape(tuple(y.shape[1:])) == x.shape[1:]
    assert torch.allclose((y * u).sum(), (x * back).sum(), rtol=1e-9, atol=0)


@every_picture
@every_operator
def test_the_problem_can_be_shown_and_fitted(case, shape, problem_of):
    problem = problem_of(case, shape)
    observed = problem.observed()
    assert observed.shape == problem.image_shape and observed.isfinite().all()
    assert problem.image_shape[-2:] == shape[-2:]
    assert problem.target is None or problem.target.shape == problem.image_shape
    image = torch.rand(problem.image_shape, generator=torch.Generator().manual_seed(2)).requires_grad_()
    loss = problem.misfit(image)
    (gradient,) = torch.autograd.grad(loss, image)
    assert loss.shape == () and loss.dtype == torch.float32 and loss.isfinite()
    assert gradient.isfinite().all() and gradient.any()


def is_local(operator):
    links = operator.operators.values() if isinstance(operator, Chain) else [operator]
    return all(isinstance(link, Local) for link in links)


@every_operator
def test_a_window_is_the_window_of_the_whole(case, problem_of):
    """Compared where the observation depends only on the window; elsewhere a window sees its own border."""
    height, width = 49, 61
    problem = problem_of(case, (3, height, width))
    operator, unit = problem.operator.double(), unit_of(problem.operator)
    start, side = -(-13 // unit) * unit, 32 // unit * unit  # a unit that is too small starts at a wrong place
    x, elsewhere = random(1, *problem.image_shape[1:]), random(1, *problem.image_shape[1:], seed=1)
    for window in ((slice(start, height), slice(start, start + side)), (slice(0, side), slice(start, width))):
        if not is_local(operator):
            with pytest.raises(ValueError, match="measures the picture as a whole: leave tile null"):
                windowed(operator, *window)
            continue
        part, *place = windowed(operator, *window)
        made, whole = part(x[..., *window]), operator(x)[..., *place]
        other = elsewhere.clone()
        other[..., *window] = x[..., *window]
        inside = (operator(other)[..., *place] - whole).abs() < 1e-12
        assert made.shape == whole.shape and inside.double().mean() > 0.1
        assert torch.allclose(made[inside], whole[inside], atol=1e-6)
        if operator.known is not None:
            assert torch.equal(part.known, operator.known[..., *place])
        tile = problem.part(ALL, *window)
        assert tile.image_shape[-2:] == x[..., *window].shape[-2:] and tile.observed().shape == tile.image_shape
