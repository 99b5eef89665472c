"""Any importable module as the forward operator, and the physics of deepinv."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.images import Picture
from dip_lab.instantiate import instantiate
from dip_lab.randomness import seed_of
from dip_lab.tasks.operators import Operator


class Custom(Operator):
    """A(x) = module(x), whatever the module is; its weights, if it has any, stay as they are.

    Measurements that are no pictures, `(N, m)` or `(N, h, w)`, are kept as `(N, 1, 1, m)` or `(N, 1, h, w)`. The
    adjoint is the module's derivative at 0, transposed: exact where the module is linear; it only serves what is shown.

    Args:
        module: a callable, an `nn.Module` or not, that takes images (N, C, H, W) in [0, 1]; or the `_target_` and the
            arguments of one, which `prepare` builds, so that its random weights are a function of the seed.
        image_shape: [C, H, W] of the image behind a picture that is degraded already (`task.given=true`); read only
            then, and not where the module keeps the shape. None: unknown.

    Raises:
        ValueError: (in `prepare`) the module cannot be built, cannot take the picture, or returns no real numbers of
            at most four dimensions, pictures first; (in `prepare_given`) a shape that is missing or does not fit.
    """

    key = "task.operator.module"

    def __init__(self, module: Callable[[Tensor], Tensor] | Mapping[str, Any], image_shape: Sequence[int] | None):
        super().__init__()
        self.module = module
        self.behind = None if image_shape is None else tuple(image_shape)
        self.image: tuple[int, ...] = ()  # shapes of one image and of the module's own output for it
        self.measured: tuple[int, ...] = ()

    def prepare(self, picture: Picture, seed: int) -> None:
        """Build the module, and try it on the picture."""
        self._build(seed)
        self._try(picture.pixels[:1])

    def prepare_given(self, picture: Picture, seed: int) -> None:
        """Build the module, and try it on black images: of the picture's shape, and of that of the key."""
        self._build(seed)
        given = tuple(picture.pixels.shape[1:])
        for shape in filter(None, (given, self.behind)):
            with contextlib.suppress(ValueError):
                if self._try(picture.pixels.new_zeros(1, *shape)) == given:
                    return
        asked = list(self.behind) if self.behind else "null"
        raise ValueError(f"task.operator.image_shape={asked}: {self._name} makes no picture of shape {list(given)} "
                         f"of it: give [C,H,W] of the image behind the picture")

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, c, h, w), in float32 at least or in the precision of the module's weights."""
        wide = torch.promote_types(image.dtype, torch.float32)
        with torch.autocast(image.device.type, enabled=False):
            observation = self._measure(image.to(self._dtype or wide)).to(wide)
        return _four(observation)

    def adjoint(self, observation: Tensor) -> Tensor:
        """By reverse differentiation at 0."""
        return super().adjoint(observation.to(torch.promote_types(observation.dtype, torch.float32)))

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Of the image that `prepare` has seen."""
        return self.image

    def given(self, pixels: Tensor) -> Tensor:
        """The picture as it is: the module has done its work."""
        return pixels

    def observed(self, observation: Tensor) -> Tensor:
        """The observation, bilinearly resized and its one channel repeated where it needs to be.

        An observation of other channels or of other proportions is no picture of the image: of it the adjoint is shown,
        stretched to [0, 1].
        """
        channels, height, width = self.image
        c, h, w = observation.shape[1:]
        if c not in (1, channels) or abs(h * width - w * height) >= max(height, width):
            back = self.adjoint(observation)
            low, high = back.amin((1, 2, 3), keepdim=True), back.amax((1, 2, 3), keepdim=True)
            return (back - low) / (high - low).clamp(min=1e-12)
        if (h, w) != (height, width):
            observation = F.interpolate(observation, (height, width), mode="bilinear", antialias=True)
        return observation.clamp(0, 1).expand(-1, channels, -1, -1)

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
        except Exception as error:  # whatever a stranger's code may raise
            raise ValueError(f"{self.key}: {self._name} does not take a picture of shape {shape}: "
                             f"{' '.join(str(error).split())}") from error
        if not isinstance(observation, Tensor) or not observation.is_floating_point() or not 2 <= observation.ndim <= 4:
            found = (f"{str(observation.dtype).removeprefix('torch.')} of shape {list(observation.shape)}"
                     if isinstance(observation, Tensor) else type(observation).__name__)
            raise ValueError(f"{self.key}: {self._name} makes {found} of a picture of shape {shape}: "
                             f"it must return real numbers, (N, c, h, w), (N, h, w) or (N, m)")
        self.image, self.measured = tuple(pixels.shape[1:]), tuple(observation.shape[1:])
        return tuple(_four(observation).shape[1:])

    @property
    def _name(self) -> str:
        return getattr(self.module, "__name__", type(self.module).__name__)

    @property
    def _dtype(self) -> torch.dtype | None:
        """Of the module's weights; None: it has none."""
        if not isinstance(self.module, nn.Module):
            return None
        values = (*self.module.parameters(), *self.module.buffers())
        return next((value.dtype for value in values if value.is_floating_point()), None)


class DeepinvPhysics(Custom):
    """A forward operator of deepinv, https://deepinv.github.io, which is no dependency: `pip install deepinv`.

    A and its adjoint are `physics.A` and `physics.A_adjoint` (reverse differentiation where it has none); what is shown
    of an observation is `physics.A_dagger`, clamped. The physics' own noise model is not used: `task/noise` is.
    Images are grey or RGB: for complex images, two channels to deepinv, there is `task=mri`.

    Args:
        physics: a `deepinv.physics.Physics`, or the `_target_` and the arguments of one.
        image_shape: as of `Custom`.
    """

    key = "task.operator.physics"

    def __init__(self, physics: nn.Module | Mapping[str, Any], image_shape: Sequence[int] | None):
        super().__init__(physics, image_shape)

    def adjoint(self, observation: Tensor) -> Tensor:
        """`physics.A_adjoint`."""
        if not hasattr(self.module, "A_adjoint"):
            return super().adjoint(observation)
        return self._back(self.module.A_adjoint, observation)

    def observed(self, observation: Tensor) -> Tensor:
        """`physics.A_dagger`, the (least-squares) inverse of deepinv, clamped."""
        return self._back(self.module.A_dagger, observation).clamp(0, 1)

    def _measure(self, image: Tensor) -> Tensor:
        return self.module.A(image)

    def _back(self, function: Callable[[Tensor], Tensor], observation: Tensor) -> Tensor:
        wide = torch.promote_types(observation.dtype, torch.float32)
        own = observation.to(self._dtype or wide).reshape(len(observation), *self.measured)
        with torch.autocast(observation.device.type, enabled=False):
            return function(own).to(wide)


def _seeded(node: Mapping[str, Any], seed: int) -> Any:
    """What a config names, with random numbers of its own that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "operator"))
        return instantiate(node)


def _four(observation: Tensor) -> Tensor:
    """(N, ...) of two to four dimensions -> (N, c, h, w)."""
    return observation.reshape(len(observation), *[1] * (4 - observation.ndim), *observation.shape[1:])
