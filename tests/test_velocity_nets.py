"""Table 1's velocity nets: published sizes, plain 1-D twins, RoNIN's trunk, timm's MnasNet, training, summed paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.baselines_speed import Plain
from eailkit.baselines import velocity_nets
from eailkit.baselines.ronin_net import RESNET50, RoninResNet
from eailkit.baselines.velocity_nets import NETS, velocity_net, velocity_net_identity
from eailkit.eail.features import turn_xy
from eailkit.eail.prepared import Prepared, TakeCache
from eailkit.eail.velocity import facing_velocity
from eailkit.encoders import ImuResNet18
from eailkit.errors import ConfigError
from eailkit.training import TrainConfig, trained_identity

PUBLISHED = {  # (net, samples) -> parameters
    ("RoNIN (ResNet-18)", 200): 4_634_882, ("RoNIN (ResNet-18)", 400): 5_028_098,
    ("RoNIN (ResNet-50)", 200): 9_256_450, ("RoNIN (ResNet-50)", 400): 10_042_882,
    ("IMUNet", 200): 3_661_618, ("MnasNet", 200): 2_979_114, ("EfficientNet", 200): 3_231_906,
}  # fmt: skip


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def without_dropout(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net.train()


@pytest.mark.parametrize("name, samples", PUBLISHED)
def test_a_net_has_its_published_number_of_parameters(name, samples):
    net = velocity_net(name, samples=samples)
    assert size(net) == PUBLISHED[name, samples]
    assert net(torch.randn(2, 6, samples)).shape == (2, 2)
    if name == "RoNIN (ResNet-18)":
        assert size(net.trunk) == 3_846_144


@pytest.mark.parametrize("name", NETS)
def test_a_net_equals_its_twin_of_one_dimensional_modules_and_every_weight_is_trained(name):
    torch.manual_seed(0)
    ours = without_dropout(velocity_net(name, width=0.25)).double()
    plain = Plain(ours)
    imu, aim = torch.randn(8, 6, 300, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)
    assert size(plain) == size(ours)
    found = [net(imu) for net in (ours, plain)]
    torch.testing.assert_close(*found, atol=1e-9, rtol=1e-6)
    for out in found:
        F.mse_loss(out, aim).backward()
    idle = [n for n, p in ours.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        scale = float(other.grad.abs().max())
        torch.testing.assert_close(one.grad.flatten(), other.grad.flatten(), atol=1e-12 + 1e-6 * scale, rtol=1e-6)
    ours.eval(), plain.eval()  # running statistics followed alike
    torch.testing.assert_close(ours(imu), plain(imu), atol=1e-9, rtol=1e-6)


def test_ronin_s_trunk_is_that_of_eail_s_own_encoder():
    """Two modules that were written apart, of the same depths, with the same weights in the same order."""
    torch.manual_seed(0)
    ours, other = RoninResNet(RESNET50, width=0.25), ImuResNet18(16, None, blocks=RESNET50)
    state = zip(other.trunk.state_dict().items(), ours.trunk.state_dict().values(), strict=True)
    other.trunk.load_state_dict({k: v.reshape(k_like.shape) for (k, k_like), v in state})
    imu = torch.randn(4, 6, 300)
    theirs, found = other.trunk(imu), ours.trunk(imu[:, :, None])
    assert theirs.shape == (4, 128, 10)
    torch.testing.assert_close(found[:, :, 0], theirs, atol=1e-4, rtol=1e-4)


def test_mnasnet_is_timm_s_on_a_picture_of_one_row():
    """timm's square kernels see zeros above and below the row, so that their middle rows alone count."""
    import timm

    torch.manual_seed(0)
    ours = velocity_net("MnasNet").eval()
    theirs = timm.create_model("mnasnet_100", in_chans=6, num_classes=2).eval()
    state = theirs.state_dict()
    for (name, like), value in zip(state.items(), ours.state_dict().values(), strict=True):
        if like.ndim == 4 and like.shape[2] > 1:
            like.zero_()[:, :, like.shape[2] // 2] = value[:, :, 0]
        else:
            state[name] = value.reshape(like.shape)
    theirs.load_state_dict(state)
    for samples in (200, 300):
        imu = torch.randn(3, 6, samples)
        torch.testing.assert_close(ours(imu), theirs(imu[:, :, None]), atol=1e-5, rtol=1e-4)


def test_imunet_takes_a_learned_part_of_the_window_from_its_last_map():
    net = velocity_net("IMUNet", width=0.25).eval()
    imu = torch.randn(3, 6, 300)
    before = net(imu)
    with torch.no_grad():
        features = net.trunk(imu[:, :, None])
        assert features.shape == (3, 1800)
        torch.testing.assert_close(before, net.out(F.elu(features)))  # which begins with none
        net.noise_gain.fill_(0.5)
        net.noise_offset.fill_(-0.2)
        torch.testing.assert_close(net(imu), net.out(F.elu(features - 0.5 * imu.reshape(3, -1) + 0.2)))


@pytest.mark.parametrize("name", NETS)
def test_one_batch_is_learned_by_heart(name):
    torch.manual_seed(0)
    net, g = without_dropout(velocity_net(name, width=0.125)), torch.Generator().manual_seed(0)
    imu, aim = torch.randn(16, 6, 300, generator=g).cumsum(-1) * 0.1, torch.randn(16, 2, generator=g)
    optimizer, losses = torch.optim.AdamW(net.parameters(), lr=3e-3), []
    for _ in range(60):
        loss = F.mse_loss(net(imu), aim)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_impossible_nets_are_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="RoNIN \\(ResNet-50\\)"):
        velocity_net("TLIO")
    with pytest.raises(ConfigError, match="width"):
        velocity_net("MnasNet", width=0.0)
    with pytest.raises(ConfigError, match="450"):
        velocity_net("IMUNet", samples=450)
    with pytest.raises(ConfigError, match="300"):
        velocity_net("RoNIN (ResNet-18)", width=0.125)(torch.randn(2, 6, 400))


class ReadsOff(nn.Module):
    """A net that is told: the middle second's acc is `scale` times less than the velocity, in the window's frame."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return x[:, :2, 150] * self.scale


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    """Two takes whose windows hold, in acc x and y, the second's true velocity in the gravity frame."""
    folder, rng, takes = tmp_path_factory.mktemp("takes"), np.random.default_rng(0), []
    for name, split in (("a", "train"), ("b", "val-seen")):
        n, path = 120, folder / f"{name}.npz"
        speed, way = rng.uniform(0.2, 1.4, n), np.cumsum(rng.normal(0, 0.2, n))
        gravity = np.stack([speed * np.cos(way), speed * np.sin(way)], axis=1)
        windows = 0.1 * rng.standard_normal((n, 6, 400)).astype(np.float32)
        windows[:, :2] = gravity[:, :, None]
        heading = np.full(n, 0.8)
        displacement = turn_xy(gravity, heading)
        position = np.cumsum(displacement, axis=0)
        displacement[7] = np.nan
        np.save(path.with_suffix(".windows.npy"), windows)
        np.savez(path, facing=way + rng.normal(0, 0.2, n), heading=heading, displacement=displacement,
                 position=position)  # fmt: skip
        takes.append(TakeCache(path, name, "room", "p", split, n, 0.0))
    return Prepared(folder, takes, {}, (), "made up")


def test_what_a_net_says_is_compared_in_the_frame_of_the_facing_and_summed_in_the_map_s(prepared):
    take = prepared.takes[1]
    true = facing_velocity(take)[np.arange(len(take)) != 7]
    assert velocity_nets.squared_error(ReadsOff(0.5), [take]) == pytest.approx(0.25 * np.mean(true**2), rel=1e-4)
    said = velocity_nets.gravity_velocities(ReadsOff(1.0), take)
    np.testing.assert_allclose(said, np.asarray(take.windows)[:, :2, 0], atol=1e-5)
    steps = turn_xy(said, 0.8)
    expected = take.position[0] + np.concatenate([np.zeros((1, 2)), np.cumsum((steps[1:] + steps[:-1]) / 2, axis=0)])
    np.testing.assert_allclose(velocity_nets.dead_reckoning(ReadsOff(1.0), take).position_m, expected, atol=1e-5)


def test_training_learns_what_the_windows_say_keeps_the_best_weights_and_finds_them_again(prepared, tmp_path):
    train = TrainConfig(steps=60, learning_rate=3e-3, warmup_steps=5, validate_every=15)
    options = {"width": 0.125, "batch": 32, "progress": False}
    net, history = velocity_nets.train_velocity_net("RoNIN (ResNet-18)", prepared, train, tmp_path, **options)
    still = np.nanmean(facing_velocity(prepared.takes[1]) ** 2)
    kept = velocity_nets.squared_error(net, prepared.held_out)
    assert kept == pytest.approx(min(value for _, value in history.validation), rel=1e-4)
    assert kept < 0.2 * still
    assert [step for step, _ in history.validation] == [15, 30, 45, 60] and not net.training
    again, found = velocity_nets.train_velocity_net("RoNIN (ResNet-18)", prepared, train, tmp_path, **options)
    assert found.minutes == history.minutes
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    named = trained_identity(train, velocity_net_identity("RoNIN (ResNet-18)", prepared, width=0.125, batch=32))
    assert (tmp_path / f"velocity-ronin-resnet-18.{named.key}.safetensors").is_file()


def test_a_net_s_name_width_batch_and_data_are_its_identity(prepared):
    other = Prepared(prepared.cache_dir, [], {}, (), "other")
    made = [velocity_net_identity(name, prepared) for name in NETS]
    made += [velocity_net_identity("IMUNet", prepared, width=0.5), velocity_net_identity("IMUNet", prepared, batch=64)]
    made += [velocity_net_identity("IMUNet", other)]
    assert len({m.key for m in made}) == len(made)
    assert velocity_net_identity("IMUNet", prepared).key == made[list(NETS).index("IMUNet")].key
