"""Small random latent for networks that enlarge it."""

from dip_lab.latents.noise import Noise


class Coarse(Noise):
    """`Noise` at the size that a decoder starts from: the picture's sides divided by `net.upscale`.

    Deep Decoder, https://arxiv.org/abs/1810.03982

    Arguments and errors are those of `Noise`.
    """

    kind = "coarse"
