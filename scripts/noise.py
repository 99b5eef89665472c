"""How well the noise of a picture is estimated: true against estimated, on noise that is added to clean pictures.

    python scripts/noise.py House.png Lena.png Baboon.png --size 256

For each kind and strength of noise, and each picture: the estimated level divided by the true one, and the correlation
of neighbouring pixels. docs/photos.md shows such a table.
"""

import argparse
import io
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab
from dip_lab.data.images import read_picture  # noqa: E402
from dip_lab.data.sizes import resize_to  # noqa: E402
from dip_lab.png import to_uint8  # noqa: E402
from dip_lab.tasks.demosaic import Bayer, Demosaicked  # noqa: E402
from dip_lab.tasks.noise_estimate import estimate_noise, neighbours  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

SIGMAS = (5, 15, 25, 50)


def white(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def blurred(clean: Tensor, sigma: float, blur: float) -> Tensor:
    """White noise, blurred by a Gaussian of `blur` px and scaled to `sigma`."""
    noise = gaussian_filter(white(clean.shape), (0, 0, blur, blur), mode="wrap") if blur else white(clean.shape)
    return (clean + torch.from_numpy(noise / noise.std()).float() * sigma / 255).clamp(0, 1)


def demosaicked(clean: Tensor, sigma: float) -> Tensor:
    """White noise on a Bayer mosaic, as bilinear interpolation spreads it; the picture itself is not mosaicked."""
    mosaic, small = Bayer("RGGB"), 0.05  # small, since the demosaicked picture is clamped to [0, 1]
    spread = Demosaicked().observed(mosaic(0.5 + small * torch.from_numpy(white(clean.shape)).float()), mosaic)
    return (clean + (spread - 0.5) / small * sigma / 255).clamp(0, 1)


def compressed(clean: Tensor, sigma: float, quality: int) -> Tensor:
    """White noise, then JPEG."""
    stored = io.BytesIO()
    Image.fromarray(to_uint8(blurred(clean, sigma, 0))).save(stored, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(stored)) / 255).float().permute(2, 0, 1)[None]


KINDS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "white": partial(blurred, blur=0), "blurred by 1 px": partial(blurred, blur=1),
    "blurred by 2 px": partial(blurred, blur=2), "demosaicked": demosaicked,
    **{f"white, JPEG {quality}": partial(compressed, quality=quality) for quality in (90, 75, 50)},
}


def table(pictures: Mapping[str, Tensor]) -> str:
    """Markdown."""
    lines = ["| noise | sigma | " + " | ".join(pictures) + " |", "| --- | ---: |" + " ---: |" * len(pictures)]
    for kind, make in KINDS.items():
        for sigma in SIGMAS:
            cells = []
            for clean in pictures.values():
                observed = make(clean, sigma)
                noise = observed - clean
                noise -= noise.mean((-2, -1), keepdim=True)
                estimate = estimate_noise(observed)
                level = estimate.std / float(noise.square().mean().sqrt())
                cells.append(f"{level:.2f}, {estimate.correlation:.2f} ({neighbours(noise):.2f})")
            lines.append(f"| {kind} | {sigma} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--size", type=int, help="longest side in px")
    arguments = parser.parse_args()
    pictures = {path.stem: resize_to(read_picture(path), arguments.size).pixels for path in arguments.pictures}
    print("Estimated level / true level, estimated correlation (true correlation)\n")
    print(table({name: pixels.expand(-1, 3, -1, -1) for name, pixels in pictures.items()}))


if __name__ == "__main__":
    use_utf8()
    main()
