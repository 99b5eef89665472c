"""iteration -> some images of a stack, the frames of a clip or the tiles of a picture, made by one network."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dip_lab.frames import frames_buffer
from dip_lab.generator import Generator
from dip_lab.latents.latent import Latent, draw_
from dip_lab.randomness import generator_of, seed_of
from dip_lab.video.mode import Mode


class ClipGenerator(Generator):
    """`f(z_t)` for all frames t of a clip: one network, whose latent moves linearly from keyframe to keyframe.

    Each iteration makes a batch of consecutive frames, chosen as a function of (seed, iteration). The tiles of a
    picture are made in the same way, one at a time and each from a latent of its own.

    Args:
        net: as in `Generator`; the frames are its batch.
        latents: one for each keyframe, in order of time; they differ only in their values.
        frames: number of frames of the clip.
        keyframes: frames from one keyframe to the next.
        mode: the largest batch of an iteration, and the setting that fits each frame by itself.
        size, precision, seed, coarse_to_fine, frozen_norms: as in `Generator`.

    Attributes:
        clip: (frames, C, H, W) the latest image of each frame.

    Raises:
        ValueError: the latent is fitted, follows the output, or is the same for all frames.
    """

    def __init__(self, net: nn.Module, latents: Sequence[Latent], channels: int, frames: int, keyframes: int,
                 mode: Mode, size: tuple[int, int], precision: str, seed: int, coarse_to_fine: Mapping[str, int],
                 frozen_norms: bool = False):
        first = latents[0]
        moving = (type(first).after_step, type(first).penalty) != (Latent.after_step, Latent.penalty)
        super().__init__(net, first, size, precision, seed, coarse_to_fine, frozen_norms)
        if moving or list(first.parameters()):
            raise ValueError(f"latent {type(first).__name__} follows a single picture: use latent=noise, or "
                             f"{mode.apart}")
        for key, latent in enumerate(latents[1:], 1):
            latent.prepare(*first.z.shape[-2:], seed_of(seed, "keyframe", key))
        self.register_buffer("keys", torch.cat([latent.z for latent in latents]), persistent=False)
        if len(latents) > 1 and torch.equal(self.keys[0], self.keys[1]):
            raise ValueError(f"latent {type(first).__name__} is the same for all images of a stack: use "
                             f"latent=noise, or {mode.apart}")
        self.register_buffer("clip", torch.zeros(frames, channels, *size))  # checkpoints hold it
        self.count, self.keyframes, self.batch = frames, keyframes, min(mode.batch, frames)
        self.seed = seed
        self._noise: Tensor | None = None
        self.to(memory_format=torch.channels_last)

    def forward(self, iteration: int | None = None) -> Tensor:
        """The frames of one iteration, `(batch, C, H, W)`; None: all frames, from the latent without jitter."""
        if iteration is not None:
            return self._made(iteration, self.frames_of(iteration))
        clip = frames_buffer(*self.clip.shape)
        for start in range(0, self.count, self.batch):
            start = min(start, self.count - self.batch)
            frames = slice(start, start + self.batch)
            clip[frames] = self._made(None, frames).cpu()
        return clip

    def whole(self, image: Tensor, iteration: int) -> Tensor:
        """The latest image of each frame, overwritten by the next call; at first the mean of the first batch."""
        if iteration == 1:
            self.clip.copy_(image.detach().mean(0, keepdim=True).expand_as(self.clip))
        self.clip[self.frames_of(iteration)] = image.detach()
        return self.clip

    def frames_of(self, iteration: int) -> slice:
        """Consecutive frames; those at the ends are as likely as the others."""
        reach = self.batch // 2
        draw = torch.randint(-reach, self.count - self.batch + reach + 1, (),
                             generator=generator_of(self.seed, "frames", iteration))
        start = min(max(int(draw), 0), self.count - self.batch)
        return slice(start, start + self.batch)

    @torch.no_grad()
    def _input(self, iteration: int | None, frames: slice) -> Tensor:
        time = torch.arange(frames.start, frames.stop, device=self.keys.device) / self.keyframes
        last = len(self.keys) - 1
        key = time.floor().long().clamp(max=last)
        share = (time - key).view(-1, 1, 1, 1).to(self.keys.dtype)
        z = torch.lerp(self.keys[key], self.keys[(key + 1).clamp(max=last)], share)
        if iteration is None or self.latent.jitter == 0:
            return z
        if self._noise is None or self._noise.device != z.device:
            self._noise = torch.empty_like(z)
        return z.add_(draw_(self._noise, self.seed, iteration, self.latent.std(iteration)))

    def _merged(self, images: Tensor) -> Tensor:
        return images
