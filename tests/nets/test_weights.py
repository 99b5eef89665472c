import re

import pytest
import torch
from torch import nn

from dip_lab.nets.weights import initialise, load_weights, save_weights


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 16, 1), nn.Linear(3, 3))


def test_kaiming_has_the_variance_of_its_fan_in_and_zero_biases():
    net = small()
    initialise(net, "kaiming")
    for layer in (net[0], net[2]):
        fan_in = layer.weight[0].numel()
        assert float(layer.weight.detach().std()) == pytest.approx((2 / 1.04 / fan_in) ** 0.5, rel=0.15)
    assert all(float(layer.bias.detach().abs().max()) == 0 for layer in (net[0], net[2], net[3]))
    assert torch.equal(net[1].weight, torch.ones(16))


def test_orthogonal_is_orthogonal():
    net = small()
    initialise(net, "orthogonal")
    rows = net[2].weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(16), atol=1e-5, rtol=0)


def test_default_leaves_the_network_s_own_draw():
    net = small()
    before = [p.clone() for p in net.parameters()]
    initialise(net, "default")
    assert all(map(torch.equal, before, net.parameters()))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="generator.init=xavier: choose default, kaiming or orthogonal"):
        initialise(small(), "xavier")


def test_saved_weights_come_back_with_the_statistics(tmp_path):
    net, twin = small(), small()
    net[:3](torch.randn(2, 4, 5, 5))  # moves the batch-norm's running mean
    save_weights(net, tmp_path)
    load_weights(twin, tmp_path)
    assert all(map(torch.equal, net.state_dict().values(), twin.state_dict().values()))


def test_a_folder_without_weights_or_with_others_is_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="has no checkpoints/weights.pt; give the folder of a run that has ended"):
        load_weights(small(), tmp_path)
    save_weights(nn.Sequential(nn.Conv2d(4, 8, 3)), tmp_path)
    with pytest.raises(ValueError, match=re.escape("0.weight is (8, 4, 3, 3) there and (16, 4, 3, 3) here")):
        load_weights(small(), tmp_path)
    (tmp_path / "checkpoints" / "weights.pt").write_bytes(b"torn")
    with pytest.raises(ValueError, match="weights.pt: cannot be read"):
        load_weights(small(), tmp_path)


def own_weights():
    return dict(small().state_dict())


@pytest.mark.parametrize("wrong", [
    [1], None, torch.zeros(3), {"0.weight": 5}, {3: torch.zeros(3)},
    own_weights() | {"0.weight": torch.zeros(16, 4, 3, 3).to_sparse()},
    own_weights() | {"0.weight": torch.zeros(16, 4, 3, 3, dtype=torch.complex64)},
    own_weights() | {"3.bias": torch.tensor([0, float("nan"), 0])},
    own_weights() | {"1.running_var": torch.full((16,), float("inf"))},
])
def test_what_is_no_weights_is_refused_in_one_line(wrong, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save(wrong, tmp_path / "checkpoints" / "weights.pt")
    net = small()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(f"generator.init_from={tmp_path}")) as refused:
        load_weights(net, tmp_path)
    assert "\n" not in str(refused.value)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_a_user_s_own_weights_are_accepted_and_damaged_ones_are_not(tmp_path):
    net, path = small(), tmp_path / "checkpoints" / "weights.pt"
    path.parent.mkdir()
    torch.save(small().state_dict(), path)
    load_weights(net, tmp_path)
    save_weights(small(), tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="weights.pt: cannot be read: it is damaged"):
        load_weights(net, tmp_path)


def test_a_fit_starts_where_another_ended(fit_tiny, tmp_path):
    first = fit_tiny("iterations=40", "stopping=fixed", "average=none", folder=tmp_path / "first")
    warm = fit_tiny("iterations=1", "stopping=fixed", "average=none", f"generator.init_from={tmp_path / 'first'}")
    cold = fit_tiny("iterations=1", "stopping=fixed", "average=none")
    loss = [restoration.history.column("loss") for restoration in (first, warm, cold)]
    assert loss[1][0] < 1.5 * loss[0][-1] < loss[2][0]


def test_an_unknown_folder_to_start_from_is_refused_before_the_fit(command):
    code, printed = command("generator.init_from=nowhere", "data.size=16", "logger=none")
    assert code == 2 and "generator.init_from=nowhere" in printed and "\n" not in printed.strip()
