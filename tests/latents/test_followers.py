"""Latents that move with the fit: self_guided and aseq."""

import pytest
import pytorch_lightning as pl
import torch

from dip_lab.latents.aseq import Aseq
from dip_lab.latents.self_guided import SelfGuided


class Pictured:
    def __init__(self, image):
        self.image = image

    def guide(self):
        return self.image


@pytest.fixture
def observation():
    return torch.rand(1, 3, 10, 12, generator=torch.Generator().manual_seed(0))


def middle(padded):
    return padded[..., 3:13, 2:14]


def prepared(latent, observation):
    latent.setup(Pictured(observation))
    latent.prepare(16, 16, seed=4)
    return latent


def test_self_guided_starts_as_the_observation_and_is_fitted(observation):
    latent = prepared(SelfGuided(lr=0.1, copies=3, spread=0.01, weight=2.0), observation)
    assert latent.depth == 3 and isinstance(latent.z, torch.nn.Parameter)
    assert torch.equal(middle(latent.z), observation)
    copies = latent(5)
    assert copies.shape == (3, 3, 16, 16) and torch.equal(copies, latent(5)) and not torch.equal(copies, latent(6))
    excess = (copies - latent.z) / latent.z.max()
    assert 0 <= excess.min() and 0.009 < excess.max() <= 0.0101 and not torch.equal(copies[0], copies[1])
    assert latent(None) is latent.z
    image = torch.rand_like(observation)
    penalty = latent.penalty(image, middle)
    assert float(penalty.detach()) == pytest.approx(2 * float((image - observation).square().mean()), rel=1e-5)
    penalty.backward()
    assert middle(latent.z.grad).any()


def test_aseq_becomes_the_image_every_few_steps(observation):
    latent = prepared(Aseq(inner=2, weight=0.5), observation)
    start, image = latent.z.clone(), torch.rand_like(observation)
    latent.after_step(image, 1)
    assert torch.equal(latent.z, start)
    assert float(latent.penalty(image, middle)) == pytest.approx(0.5 * float((image - observation).square().mean()))
    latent.after_step(image, 2)
    assert torch.equal(middle(latent.z), image)
    assert torch.equal(latent.z[..., 2, 2:14], image[..., 0, :])  # mirrored beyond the edge
    assert "z" in latent.state_dict()


@pytest.mark.parametrize("latent", ["self_guided", "aseq"])
def test_the_latent_moves_and_the_fit_improves(latent, fit_tiny):
    seen = {}

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
            seen[iteration] = (module.generator.latent.z.detach().clone(), float(module.loss))

    restoration = fit_tiny(f"latent={latent}", "iterations=40", "descent.clip=1", callbacks=[Watch()])
    assert restoration.image.shape[1] == 3
    assert not torch.equal(seen[1][0], seen[40][0])
    assert seen[40][1] < seen[1][1]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: SelfGuided(0, 4, 0.01, 1), r"latent\.lr=0"),
    (lambda: SelfGuided(0.1, 0, 0.01, 1), r"latent\.copies=0"),
    (lambda: SelfGuided(0.1, 4, -1, 1), r"latent\.spread=-1"),
    (lambda: SelfGuided(0.1, 4, 0.01, -1), r"latent\.weight=-1"),
    (lambda: Aseq(0, 1), r"latent\.inner=0"),
    (lambda: Aseq(2, -1), r"latent\.weight=-1"),
])
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
