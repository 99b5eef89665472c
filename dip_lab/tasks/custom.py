"""Any importable module as the forward operator, and the physics of deepinv."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.randomness import seed_of
from dip_lab.tasks.operators import Operator
from dip_lab.tasks.views import View


class Custom(Operator):
    """A(x) = module(x), whatever the module is; its weights, if it has any, stay as they are.

    Measurements that are not images, `(N, m)` or `(N, h, w)`, are kept as `(N, 1, 1, m)` or `(N, 1, h, w)`. The
    adjoint is exact where the module is linear; it is only used for what is shown.

    Args:
        module: a callable, an `nn.Module` or not, that takes images (N, C, H, W) in [0, 1]; or the `_target_` and the
            arguments of one, which `prepare` builds, so that its random weights are a function of the seed.
        image_shape: [C, H, W] of the image behind a picture that is already degraded (`task.given=true`); read only
            then, and not if the module keeps the shape. None: unknown.

    Raises:
        ValueError: (in `prepare`) the module cannot be built, cannot take the picture, or does not return real numbers
            in at most four dimensions, pictures first; the shape is missing or does not fit a given picture.
    """

    key = "task.operator.module"

    def __init__(self, module: Callable[[Tensor], Tensor] | Mapping[str, Any], image_shape: Sequence[int] | None):
        super().__init__()
        self.module = module
        self.behind = None if image_shape is None else tuple(image_shape)
        self.measured: tuple[int, ...] = ()  # shape of the module's own output for one image

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Build the module, and try it on the target, or on black images that may lie behind a given picture."""
        self._build(seed)
        if not given:
            self._try(images.pixels[:1])
            return
        shape = tuple(images.pixels.shape[1:])
        for behind in filter(None, (shape, self.behind)):
            with contextlib.suppress(ValueError):
                if self._try(images.pixels.new_zeros(1, *behind)) == shape:
                    return
        asked = list(self.behind) if self.behind else "null"
        raise ValueError(f"task.operator.image_shape={asked}: {self._name} does not make a picture "
                         f"of shape {list(shape)} from it: give [C,H,W] of the image behind the picture")

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, c, h, w), in float32 at least or in the precision of the module's weights."""
        wide = torch.promote_types(image.dtype, torch.float32)
        with torch.autocast(image.device.type, enabled=False):
            observation = self._measure(image.to(self._dtype or wide)).to(wide)
        return _four(observation)

    def _measure(self, image: Tensor) -> Tensor:
        return self.module(image)

    def _build(self, seed: int) -> None:
        if isinstance(self.module, Mapping):
            self.module = _seeded(self.module, seed)
        if isinstance(self.module, nn.Module):
            self.module.requires_grad_(False).eval()

    def _try(self, pixels: Tensor) -> tuple[int, ...]:
        """Note the shapes, and return that of the observation; a module that cannot take these pixels is refused."""
        shape = list(pixels.shape)
        try:
            observation = self._measure(pixels.to(self._dtype or pixels.dtype))
        except Exception as error:  # a user's code may raise anything
            raise ValueError(f"{self.key}: {self._name} does not take a picture of shape {shape}: "
                             f"{' '.join(str(error).split())}") from error
        if not isinstance(observation, Tensor) or not observation.is_floating_point() or not 2 <= observation.ndim <= 4:
            found = (f"{str(observation.dtype).removeprefix('torch.')} of shape {list(observation.shape)}"
                     if isinstance(observation, Tensor) else type(observation).__name__)
            raise ValueError(f"{self.key}: {self._name} makes {found} from a picture of shape {shape}: "
                             f"it must return real numbers, (N, c, h, w), (N, h, w) or (N, m)")
        self.image, self.measured = tuple(pixels.shape[1:]), tuple(observation.shape[1:])
        return tuple(_four(observation).shape[1:])

    @property
    def _name(self) -> str:
        return getattr(self.module, "__name__", type(self.module).__name__)

    @property
    def _dtype(self) -> torch.dtype | None:
        """The dtype of the module's weights; None: it has none."""
        if not isinstance(self.module, nn.Module):
            return None
        values = (*self.module.parameters(), *self.module.buffers())
        return next((value.dtype for value in values if value.is_floating_point()), None)


class DeepinvPhysics(Custom):
    """A forward operator of deepinv, https://deepinv.github.io, which is not a dependency: `pip install deepinv`.

    A and its adjoint are `physics.A` and `physics.A_adjoint` (reverse differentiation if it has none); what is shown
    of an observation is `physics.A_dagger`, clamped. `task/noise` is used instead of the physics' own noise model.
    Images are grey or RGB; for complex images, which have two channels in deepinv, use `task=mri`.

    Args:
        physics: a `deepinv.physics.Physics`, or the `_target_` and the arguments of one.
        image_shape: as in `Custom`.
    """

    key = "task.operator.physics"

    def __init__(self, physics: nn.Module | Mapping[str, Any], image_shape: Sequence[int] | None):
        super().__init__(physics, image_shape)

    def adjoint(self, observation: Tensor) -> Tensor:
        """`physics.A_adjoint`."""
        if not hasattr(self.module, "A_adjoint"):
            return super().adjoint(observation)
        return self._back(self.module.A_adjoint, observation)

    def pseudoinverse(self, observation: Tensor) -> Tensor:
        """`physics.A_dagger`, the (least-squares) inverse of deepinv."""
        return self._back(self.module.A_dagger, observation)

    def _measure(self, image: Tensor) -> Tensor:
        return self.module.A(image)

    def _back(self, function: Callable[[Tensor], Tensor], observation: Tensor) -> Tensor:
        wide = torch.promote_types(observation.dtype, torch.float32)
        own = observation.to(self._dtype or wide).reshape(len(observation), *self.measured)
        with torch.autocast(observation.device.type, enabled=False):
            return function(own).to(wide)


class Pseudoinverse(View):
    """`physics.A_dagger` of deepinv, clamped to [0, 1]."""

    def observed(self, observation: Tensor, operator: DeepinvPhysics) -> Tensor:
        """At the image's size."""
        return operator.pseudoinverse(observation).clamp(0, 1)


def _seeded(node: Mapping[str, Any], seed: int) -> Any:
    """The object that a config names, built with random numbers that depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "operator"))
        return instantiate(node)


def _four(observation: Tensor) -> Tensor:
    """(N, ...) of two to four dimensions -> (N, c, h, w)."""
    return observation.reshape(len(observation), *[1] * (4 - observation.ndim), *observation.shape[1:])
