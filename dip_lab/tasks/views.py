"""What is shown of a problem, and what a network may see of the observation: `task.view`."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.data.images import Images
from dip_lab.tasks.operators import Operator


class View(nn.Module):
    """The view for any operator. One that shows the observation in another way defines `observed`."""

    def prepare(self, images: Images) -> None:
        """See the pictures before anything is fitted. Default: does nothing."""

    def observed(self, observation: Tensor, operator: Operator) -> Tensor:
        """The picture to show without any restoration, at the image's size.

        Default: the observation where it has the image's shape, with black holes where nothing is known. A smaller or
        larger one is resized bilinearly, a single channel is repeated. One with other channels or proportions is not a
        picture of the image: the adjoint is shown instead, stretched to [0, 1].
        """
        channels, height, width = operator.image_shape(tuple(observation.shape[1:]))
        c, h, w = observation.shape[1:]
        if (c, h, w) == (channels, height, width):
            return observation if operator.known is None else observation * operator.known
        if not is_picture((c, h, w), (channels, height, width)):
            back = operator.adjoint(observation)
            low, high = back.amin((1, 2, 3), keepdim=True), back.amax((1, 2, 3), keepdim=True)
            return (back - low) / (high - low).clamp(min=1e-12)
        if (h, w) != (height, width):
            observation = F.interpolate(observation, (height, width), mode="bilinear", antialias=True)
        return observation.clamp(0, 1).expand(-1, channels, -1, -1)

    def guide(self, observation: Tensor, operator: Operator) -> Tensor:
        """What a network gets as its input, made from the observation. Default: what is shown of it."""
        return self.observed(observation, operator)

    def shown(self, image: Tensor) -> Tensor:
        """The form in which an image is shown and scored. Default: the image itself."""
        return image

    def window(self, rows: slice, columns: slice) -> "View":
        """The view of a window of the image. Default: the same."""
        return self


def is_picture(observation: Sequence[int], image: Sequence[int]) -> bool:
    """Whether an observation (C, H, W) has the proportions of the image's, and its channels or one."""
    (c, h, w), (channels, height, width) = observation, image
    return c in (1, channels) and abs(h * width - w * height) < max(height, width)


class Clamped(View):
    """The observation clamped to [0, 1]: its noise need not lie there."""

    def observed(self, observation: Tensor, operator: Operator) -> Tensor:
        """At the image's size."""
        return super().observed(observation, operator).clamp(0, 1)
