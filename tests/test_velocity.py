"""The velocity net: mirrors and turns against rigid motion, loss by hand, a batch by heart, errors of a known net."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from eailkit.eail.features import turn_xy
from eailkit.eail.prepared import Prepared, TakeCache
from eailkit.eail.velocity import (
    LOG_STD,
    MIRROR,
    SQUARED,
    UNTURNED,
    VelocityBatches,
    VelocityNet,
    facing_velocity,
    gravity_velocity,
    turned_sides,
    velocity_errors,
    velocity_loss,
    with_sides,
)
from eailkit.training import seed_step


class ReadsOff(torch.nn.Module):
    """A net that is told: a window's first sample of its middle second is the velocity, its z the deviations' logs."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return torch.cat([x[:, :2, 400] * self.scale, x[:, 2:3, 400], x[:, 2:3, 400] + 1.0], dim=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    """Two takes whose windows hold, in acc x and y, the second's true velocity in the gravity frame, and its index."""
    folder, rng, takes = tmp_path_factory.mktemp("takes"), np.random.default_rng(0), []
    for number, (name, split) in enumerate((("a", "train"), ("b", "val-seen"))):
        n, path = 60, folder / f"{name}.npz"
        speed = np.where(np.arange(n) % 3 == 0, 0.0, rng.uniform(0.5, 1.4, n))
        facing, heading = rng.uniform(-3, 3, n), np.full(n, 0.8 + number)
        way = rng.uniform(-np.pi, np.pi, n)
        gravity = np.stack([speed * np.cos(way), speed * np.sin(way)], axis=1)
        displacement = turn_xy(gravity, heading)
        displacement[7] = np.nan
        windows = np.zeros((n, 6, 400), np.float32)
        windows[:, :2] = gravity[:, :, None]
        windows[:, 2] = np.arange(n)[:, None]
        windows[:, 3:5] = gravity[:, :, None] * 2
        np.save(path.with_suffix(".windows.npy"), windows)
        np.savez(path, facing=facing.astype(np.float32), heading=heading, displacement=displacement,
                 action=(np.arange(n) % 2).astype(np.int16))  # fmt: skip
        takes.append(TakeCache(path, name, "room", "p", split, n, 0.0))
    return Prepared(folder, takes, {}, ("stir", "cut"), "made up")


def test_a_mirror_does_to_windows_what_it_does_to_moving_heads():
    """Rates of a head whose whole motion is mirrored left to right, by differences, and its specific force."""
    t = np.arange(0, 1, 1 / 400)
    angles = np.column_stack([0.5 * np.sin(3 * t), 0.3 * np.sin(5 * t + 1), 0.2 * np.cos(4 * t)])
    turns, M = Rotation.from_euler("ZYX", angles), np.diag([1.0, -1.0, 1.0])
    mirrored = Rotation.from_matrix(M @ turns.as_matrix() @ M)
    rates = lambda R: 400 * (R[1:] * R[:-1].inv()).as_rotvec()  # noqa: E731  # in the frame that doesn't move
    force = np.column_stack([np.sin(9 * t), np.cos(7 * t), 9.81 + np.sin(11 * t)])[1:]
    window = np.concatenate([force, rates(turns)], axis=1).T
    expected = np.concatenate([force @ M, rates(mirrored)], axis=1).T
    np.testing.assert_allclose(window * MIRROR.numpy()[:, None], expected, atol=1e-6)


def test_windows_have_their_neighbours_beside_them_and_repeat_at_the_ends():
    windows = torch.randn(5, 6, 400)
    found = with_sides(windows)
    for k in range(5):
        three = torch.cat([windows[max(k - 1, 0)], windows[k], windows[min(k + 1, 4)]], dim=1)
        assert torch.equal(found[k], three)
    facing = torch.tensor([0.0, 1.0, float("nan"), -2.0, 0.5])
    turned = turned_sides(windows, facing)
    assert torch.equal(turned[0], found[0]) and torch.equal(turned[2], found[2])
    c, s = np.cos(1.0), np.sin(1.0)  # all three seconds by the middle one's facing
    torch.testing.assert_close(turned[1, 0], c * found[1, 0] + s * found[1, 1])
    assert torch.equal(turned[:, [2, 5]], found[:, [2, 5]])


def test_windows_and_velocities_of_a_batch_are_mirrored_and_turned_together(prepared):
    batches, alone, turns = VelocityBatches(prepared, 64), 0, []
    truth = facing_velocity(prepared.takes[0])
    mirrored = 0
    for step in range(20):
        batch = batches(seed_step(0, step), step)
        middle = batch["imu"][:, :, 400:800]
        torch.testing.assert_close(middle[:, :2, 0], batch["velocity"], atol=1e-5, rtol=1e-4)
        second = batch["imu"][:, 2, [0, 400, 800]].round().long()
        assert ((second[:, 1:] - second[:, :-1]) == 1).all()  # consecutive seconds
        assert not (second[:, 1] == 7).any() and second[:, 1].min() >= 1 and second[:, 1].max() <= 58
        known = torch.from_numpy(truth[second[:, 1].numpy()])
        moving = known.norm(dim=1) > 0.1
        alone += len(second)
        # gyro is a pseudovector: where it isn't twice the velocity turned, the row is mirrored
        same = (middle[:, 3:5, 0] - 2 * batch["velocity"]).norm(dim=1) < 1e-4
        mirrored += int((~same & moving).sum())
        angle = lambda v: torch.atan2(v[:, 1], v[:, 0])  # noqa: E731
        straight = moving & same
        turns += list(np.angle(np.exp(1j * (angle(batch["velocity"]) - angle(known))[straight].numpy())))
    assert 0.42 < mirrored / (mirrored + len(turns)) < 0.58
    small = np.abs(turns) < 0.35  # 3.5 standard deviations of the jitter of 0.1
    assert (~small).mean() == pytest.approx(UNTURNED * (1 - 0.7 / (2 * np.pi)), abs=0.04)
    assert np.std(np.array(turns)[small]) == pytest.approx(0.1, rel=0.2)


def test_velocities_in_the_facing_frame_are_forward_and_left():
    take = type("Take", (), {
        "displacement": np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [np.nan, 0.0]]),
        "facing": np.array([0.0, 0.5, np.nan, 0.0]), "heading": np.array([np.pi / 2, np.pi / 2, 0.3, 0.0]),
    })  # fmt: skip
    found = facing_velocity(take)
    np.testing.assert_allclose(found[0], [1.0, 0.0], atol=1e-12)  # walks where the head faces
    np.testing.assert_allclose(found[1], [np.cos(0.5), -np.sin(0.5)], atol=1e-12)  # to the right of it
    np.testing.assert_allclose(found[2], [np.cos(0.3), -np.sin(0.3)], atol=1e-12)  # unknown mounting: gravity frame
    assert np.isnan(found[3]).any()


def test_the_loss_is_a_gaussian_s_and_the_squared_error():
    out, velocity = (
        torch.tensor([[0.5, -0.2, -1.0, 0.3], [0.0, 0.0, 0.0, 0.0]]),
        torch.tensor([[0.9, 0.1], [3.0, -4.0]]),
    )
    terms = [
        0.5 * (0.4 / np.exp(-1.0)) ** 2 - 1.0 + 0.5 * (0.3 / np.exp(0.3)) ** 2 + 0.3,
        0.5 * (9 + 16),
    ]
    squared = (0.4**2 + 0.3**2 + 25) / 4
    found = velocity_loss(out, velocity)
    assert float(found["likelihood"]) == pytest.approx(np.mean(terms), rel=1e-5)
    assert float(found["total"]) == pytest.approx(np.mean(terms) + SQUARED * squared, rel=1e-5)


def test_the_deviation_that_the_loss_likes_best_is_the_error_s_own():
    g = torch.Generator().manual_seed(0)
    velocity = 0.3 * torch.randn(4000, 2, generator=g)
    at = lambda log_std: float(  # noqa: E731
        velocity_loss(torch.cat([torch.zeros(4000, 2), torch.full((4000, 2), log_std)], 1), velocity)["likelihood"]
    )
    best = min(np.linspace(-2.5, 0.5, 61), key=at)
    assert np.exp(best) == pytest.approx(0.3, rel=0.06)


def test_one_batch_is_learned_by_heart_with_deviations_that_fit_its_errors():
    torch.manual_seed(0)
    model, g = VelocityNet(8).train(), torch.Generator().manual_seed(0)
    imu, velocity = torch.randn(12, 6, 1200, generator=g).cumsum(-1) * 0.05, torch.randn(12, 2, generator=g)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(80):
        terms = velocity_loss(model(imu), velocity)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        losses.append(float(terms["squared"].detach()))
    assert min(losses) < 0.02 * losses[0]  # at this rate it overshoots now and then, each processor at another step
    out = model(imu).detach()
    assert out.shape == (12, 4) and float(out[:, 2:].mean()) < -1.0
    assert LOG_STD[0] <= float(out[:, 2:].min()) and float(out[:, 2:].max()) <= LOG_STD[1]


def test_velocities_are_turned_back_to_the_gravity_frame(prepared):
    take = prepared.takes[1]
    windows = np.array(take.windows)
    windows[:, 2] = -1.5  # what the net takes for its log deviation on the first axis; the second's is one more
    velocity, std = gravity_velocity(ReadsOff(), windows, take.facing)
    np.testing.assert_allclose(velocity, windows[:, :2, 0], atol=1e-5)
    np.testing.assert_allclose(std, np.sqrt((np.exp(-3.0) + np.exp(-1.0)) / 2), rtol=1e-5)
    unknown, _ = gravity_velocity(ReadsOff(), windows, np.full(len(take), np.nan))
    np.testing.assert_allclose(unknown, windows[:, :2, 0], atol=1e-5)


def test_errors_of_a_net_that_says_half_of_every_velocity(prepared):
    takes = prepared.takes
    found = velocity_errors(ReadsOff(0.5), takes, ("stir", "cut", "never"))
    assert set(found) == {"all", "walking", "standing", "stir", "cut"}
    true = np.concatenate([facing_velocity(t) for t in takes])
    known = np.isfinite(true).all(1)
    speed, action = np.linalg.norm(true, axis=1), np.concatenate([t.action for t in takes])
    rows = {
        "all": known,
        "walking": known & (speed > 0.4),
        "standing": known & ~(speed > 0.4),
        "cut": known & (action == 1),
    }
    for name, chosen in rows.items():
        assert found[name]["seconds"] == chosen.sum()
        assert found[name]["rmse_mps"] == pytest.approx(np.sqrt((0.25 * speed[chosen] ** 2).mean()), abs=1e-5)
    assert found["walking"]["speed_ratio"] == pytest.approx(0.5) == found["cut"]["speed_ratio"]
    assert np.isnan(found["standing"]["speed_ratio"])  # nobody walks there
