"""How a clip is fitted: frame by frame, by one network for all frames, or by one that convolves over time too."""

from dataclasses import dataclass

from dip_lab.checks import integer, number


@dataclass(frozen=True)
class Mode:
    """What `video=` chooses. It has no effect on pictures.

    A clip longer than `chunk` frames is cut into chunks, each fitted by itself and blended over `overlap` frames, so
    that memory depends on the chunk and not on the clip.

    Args:
        chunk: frames that share one network.
        overlap: frames that two neighbouring chunks share; less than `chunk`.
        batch: consecutive frames that one iteration fits.
        keyframes: frames from one independent latent to the next; in between it moves linearly.
        kernel: frames that a convolution sees: 1, or 3 (the frame and its neighbours).
        fps: frames per second of the films that are written.
        apart: the setting that gives each image a network of its own, for error messages.

    Raises:
        ValueError: a value is out of its range.
    """

    chunk: int
    overlap: int
    batch: int
    keyframes: int
    kernel: int
    fps: float
    apart: str = "video=per_frame"

    def __post_init__(self) -> None:
        object.__setattr__(self, "chunk", integer("video.chunk", self.chunk, 1))
        object.__setattr__(self, "overlap", integer("video.overlap", self.overlap, 0, self.chunk - 1))
        object.__setattr__(self, "batch", integer("video.batch", self.batch, 1))
        object.__setattr__(self, "keyframes", integer("video.keyframes", self.keyframes, 1))
        object.__setattr__(self, "kernel", integer("video.kernel", self.kernel, 1, 3))
        object.__setattr__(self, "fps", number("video.fps", self.fps, 0.001, 1000))
        if self.kernel == 2:
            raise ValueError("video.kernel=2: give 1 or 3")
