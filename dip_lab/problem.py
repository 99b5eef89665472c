"""What is measured and what is known: the observation, its operator, its misfit, perhaps the target."""

import hashlib

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from dip_lab.data.registry import located
from dip_lab.images import Picture, read_picture
from dip_lab.instantiate import instantiate
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.noise import NoNoise


class Problem(nn.Module):
    """One degraded picture.

    Attributes:
        observation: what was measured, `(1, C, h, w)` float32.
        operator: image -> noiseless observation, an `nn.Module` with an adjoint.
        target: the ground truth, `(1, C, H, W)` float32 in [0, 1], or None.
        image_shape: `(1, C, H, W)` of the restoration.
        answer: stem of the restored picture's file name, such as `dip_denoised`.
        noise: the law that the noise of the observation was drawn from; None where nobody knows it.
        counted: 1 where the misfit looks at the observation and 0 elsewhere, broadcastable to it; None: everywhere.
    """

    def __init__(self, observation: Tensor, operator: nn.Module, misfit: nn.Module, evaluation, target: Tensor | None,
                 answer: str, name: str, noise=None):
        super().__init__()
        self.operator = operator
        self.measure = misfit
        self.noise = noise
        self.register_buffer("counted", operator.known, persistent=False)
        self.evaluation = evaluation
        self.answer = answer
        self.name = name
        self.register_buffer("observation", observation, persistent=False)
        self.register_buffer("target", target, persistent=False)
        height, width = operator.image_size(tuple(observation.shape[-2:])) if target is None else target.shape[-2:]
        self.image_shape = (1, observation.shape[1], height, width)

    def misfit(self, image: Tensor, corruption: Tensor | None = None) -> Tensor:
        """Scalar data term between `A(image)` and the observation; `corruption` is what is added to A(image)."""
        prediction = self.operator(image)
        return self.measure(prediction if corruption is None else prediction + corruption, self.observation,
                            self.counted)

    def hold_out(self, held: Tensor) -> None:
        """Leave the values of the observation where `held` (its shape, bool) is true out of the misfit."""
        counted = torch.ones_like(self.observation) if self.counted is None else self.counted
        self.counted = counted * ~held

    def digest(self) -> str:
        """Eight hexadecimal digits of the observation."""
        return hashlib.sha256(self.observation.cpu().contiguous().numpy().tobytes()).hexdigest()[:8]

    @torch.no_grad()
    def scores(self, image: Tensor) -> dict[str, float]:
        """PSNR, SSIM and the task's own figures of an image against the target; empty without a target."""
        if self.target is None:
            return {}
        return {k: float(v) for k, v in self.evaluation.scores(image, self.target, self.operator).items()}

    @torch.no_grad()
    def observed(self) -> Tensor:
        """The observation at the restoration's size: what a person sees before the restoration."""
        return self.operator.observed(self.observation)


def build_problem(task: DictConfig, picture: Picture, seed: int) -> Problem:
    """Degrade a picture as the task's YAML says; or take it as the observation (`given`, or nothing degrades it).

    With a ready `observation` the picture is only the target.
    """
    operator = instantiate(task.operator)
    operator.prepare(picture, seed)
    noise = instantiate(task.noise)
    target, observation = picture.pixels, picture.pixels
    if task.observation is not None:
        observation, noise = ready_observation(task.observation, picture, operator), None
    elif task.given or (isinstance(operator, Identity) and isinstance(noise, NoNoise)):
        target = noise = None
        if not isinstance(operator, Identity) and operator.image_size(picture.pixels.shape[-2:]) == tuple(
            picture.pixels.shape[-2:]
        ):
            observation = operator(picture.pixels)  # what lies under a mask's holes was not measured
    else:
        observation = noise(instantiate(task.observe)(target, operator), seed)
    return Problem(observation, operator, instantiate(task.misfit), instantiate(task.evaluation), target,
                   task.answer, picture.name, noise)


def ready_observation(path: str, picture: Picture, operator: nn.Module) -> Tensor:
    """The observation in a file, such as the authors' own of a paper.

    Raises:
        ValueError: its size or channels are not those of the operator's observation of the picture.
    """
    observation = read_picture(located(path, picture.root)).pixels
    expected = operator(picture.pixels)
    if observation.shape != expected.shape:
        (_, channels, rows, columns), (_, wanted, height, width) = observation.shape, expected.shape
        raise ValueError(f"task.observation={path} is {columns} x {rows} px with {channels} channels, but "
                         f"{picture.name} is observed as {width} x {height} px with {wanted}: give its own observation")
    if observation.shape == picture.pixels.shape:
        observation = operator(observation)  # what lies under a mask's holes was not measured
    return observation
