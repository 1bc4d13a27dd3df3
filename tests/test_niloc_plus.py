"""NILoc+: the frames of its windows and labels, a take's edges, what a heading means, training, and its refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from eailkit.baselines.niloc_plus import (
    NilocPlus,
    RawSequences,
    filled,
    niloc_plus_identity,
    predict_niloc_plus,
    train_niloc_plus,
    under_headings,
)
from eailkit.eail.features import turn_xy
from eailkit.eail.prepared import Prepared, RoomCache, TakeCache
from eailkit.eail.sequences import JITTER_RAD, heading_angles
from eailkit.errors import ConfigError, DatasetError
from eailkit.losses import trajectory_loss
from eailkit.preprocess.mapgrid import CELLS, MapGrid
from eailkit.training import TrainConfig, seed_step

GRID = MapGrid(np.array([1.0, -2.0]), 4.0, 0.0)


def room() -> RoomCache:
    """A floor of 5 m with a wall around it, so that a square can be laid on it at any angle."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-2.5, 2.5, (20000, 2)), np.zeros(20000)])
    along, height = rng.uniform(-2.5, 2.5, 8000), rng.uniform(0, 2.2, 8000)
    sides = [np.column_stack([along, np.full(8000, s), height]) for s in (-2.5, 2.5)]
    walls = np.concatenate(sides + [side[:, [1, 0, 2]] for side in sides])
    scan = (np.concatenate([floor, walls]) + [1.0, -2.0, 0.0]).astype(np.float32)
    points = np.zeros((CELLS, 1, 3), np.float32)
    full = np.zeros(CELLS, bool)
    return RoomCache("r", GRID, points, np.ones((CELLS, 1), bool), full, full, scan, "scan", scan)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    """People who stand 1.2 m from the middle and face outwards; acc x and y point to the facing, gravity frame."""
    folder, rng, takes = tmp_path_factory.mktemp("takes"), np.random.default_rng(1), []
    for name, split in (("a", "train"), ("b", "train"), ("c", "val-seen")):
        n, path, heading = 60, folder / f"{name}.npz", rng.uniform(-3, 3)
        outwards = np.repeat(rng.uniform(-np.pi, np.pi, 6), 10)
        position = GRID.centre_xy_m + turn_xy(np.tile([1.2, 0.0], (n, 1)), outwards)
        facing = outwards - heading  # in the gravity frame
        windows = np.zeros((n, 6, 400), np.float32)
        windows[:, :2] = np.stack([np.cos(facing), np.sin(facing)], 1)[:, :, None]
        windows[:, 2] = np.arange(n)[:, None]
        headings = np.full(n, heading)
        headings[[0, 20]] = np.nan
        np.save(path.with_suffix(".windows.npy"), windows)
        np.savez(path, facing=facing.astype(np.float32), heading=headings, position=position,
                 cell=GRID.label(position).astype(np.int16), action=np.zeros(n, np.int16))  # fmt: skip
        takes.append(TakeCache(path, name, "r", "p", split, n, 0.0))
    return Prepared(folder, takes, {"r": room()}, (), "made up")


class Compass(nn.Module):
    """A net that is told: of a direction it gives the cell 1.2 m from the middle that way, and forgets the window."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(10, 1))

    def seconds(self, imu):
        return imu[:, 2:3, 0]

    def reason(self, embedded, angle):
        xy = GRID.centre_xy_m + turn_xy(np.tile([1.2, 0.0], (*angle.shape, 1)), angle.double().numpy())
        return 50.0 * nn.functional.one_hot(torch.from_numpy(GRID.cell_of(xy.reshape(-1, 2))), CELLS).view(
            *angle.shape, CELLS
        )


def test_a_batch_s_directions_belong_to_its_labels_at_every_turn_of_the_room(prepared):
    batches = RawSequences(prepared, batch=32, time=10, views=3)
    views, off, seen = batches.views["r"], [], set()
    assert len(views) == 3 and views[0].angle == 0.0
    for step in range(6):
        batch = batches(seed_step(0, step), step)
        assert batch["imu"].shape == (32, 10, 6, 400) and (batch["cell"] >= 0).float().mean() > 0.9
        # every window was turned to the facing: what pointed there points along x now
        torch.testing.assert_close(batch["imu"][:, :, 0], torch.ones(32, 10, 400))
        assert batch["imu"][:, :, 1].abs().max() < 1e-5
        number = batch["imu"][:, :, 2, 0]
        assert ((number[:, 1:] - number[:, :-1]) == 1).all()
        for row, angles in zip(batch["cell"].numpy(), batch["angle"].numpy(), strict=True):
            seen |= set(row[row >= 0].tolist())
            for cell, angle in zip(row[row >= 0], angles[row >= 0], strict=True):
                # squares of turned rooms differ a little in middle and side: outwards is outwards in all of them
                where = GRID.cell_centres[cell] - GRID.centre_xy_m
                off.append(np.angle(np.exp(1j * (np.arctan2(where[1], where[0]) - angle))))
    assert np.abs(off).max() < JITTER_RAD + 0.35 and np.std(off) > 0.5 * JITTER_RAD / np.sqrt(3)
    assert len(seen) > 40  # two takes stand at twelve places; turns make them many


def test_batches_for_an_unknown_heading_are_the_same_under_random_ones(prepared):
    known, unknown = (RawSequences(prepared, batch=64, time=10, views=2, protocol=p) for p in ("published", "inferred"))
    one, other = (batches(seed_step(0, 5), 5) for batches in (known, unknown))
    assert torch.equal(one["imu"], other["imu"]) and torch.equal(one["cell"], other["cell"])
    off = np.angle(np.exp(1j * (other["angle"] - one["angle"]).double().numpy()))
    assert np.ptp(off, axis=1).max() < 1e-5  # one angle a sequence
    assert np.abs(np.exp(1j * off[:, 0]).mean()) < 0.3 < np.std(off[:, 0])


def test_published_is_told_the_first_heading_and_inferred_averages_all(prepared):
    take = prepared.takes[2]
    found = predict_niloc_plus(Compass(), take, "published")
    assert found.confidence.shape == (60, CELLS)
    np.testing.assert_array_equal(found.confidence.argmax(1), take.cell)
    np.testing.assert_allclose(found.confidence.sum(1), 1, rtol=1e-5)
    blind = predict_niloc_plus(Compass(), take, "inferred").confidence
    each = [under_headings(Compass(), take, np.full((60, 1), a))[0] for a in heading_angles()]
    np.testing.assert_allclose(blind, torch.stack(each).mean(0), atol=1e-6)
    assert blind.max() < 0.3  # a ring


def test_windows_cover_a_take_of_any_length_and_average_where_they_overlap(prepared):
    take = prepared.takes[2]
    torch.manual_seed(0)
    model = NilocPlus(width=0.05).eval()
    zero = np.zeros((60, 1))
    whole, apart = under_headings(model, take, zero), under_headings(model, take, zero, stride=10)
    windows = torch.from_numpy(np.array(take.windows))
    angle = torch.from_numpy(np.asarray(take.facing))
    from eailkit.eail.stage1 import facing_frame

    turned = facing_frame(windows, angle)
    with torch.no_grad():
        alone = lambda s: model(turned[None, s : s + 10], angle[None, s : s + 10]).softmax(-1)[0]  # noqa: E731
        torch.testing.assert_close(apart[0, 20:30], alone(20), atol=1e-5, rtol=1e-3)
        over = torch.stack([alone(s)[25 - s] for s in range(16, 26)]).mean(0)
        torch.testing.assert_close(whole[0, 25], over, atol=1e-5, rtol=1e-3)
        short = replace(take, seconds=4)
        short.__dict__["windows"] = np.array(take.windows[:4])
        short.__dict__["_columns"] = {k: v[:4] for k, v in take._columns.items() if v.ndim}
        padded = [0, 1, 2, 3] + [3] * 6
        expected = model(turned[None, padded], angle[None, padded]).softmax(-1)[0, :4]
        torch.testing.assert_close(under_headings(model, short, zero[:4])[0], expected, atol=1e-5, rtol=1e-3)


def test_training_learns_that_people_face_outwards_and_every_weight_takes_part(prepared, tmp_path):
    train = TrainConfig(steps=60, learning_rate=3e-3, warmup_steps=5, validate_every=20)
    options = {"width": 0.125, "batch": 8, "views": 2, "progress": False}
    model, history = train_niloc_plus(prepared, train, tmp_path, **options)
    assert [step for step, _ in history.validation] == [20, 40, 60]
    assert min(value for _, value in history.validation) < np.log(CELLS) - 1.5  # a direction, of 2 pi
    again, found = train_niloc_plus(prepared, train, tmp_path, **options)
    assert found.minutes == history.minutes
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    batch = RawSequences(prepared, batch=4, time=10, views=1)(seed_step(0, 0), 0)
    trajectory_loss(model.train()(batch["imu"], batch["angle"]), batch["cell"]).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_one_batch_is_learned_by_heart():
    torch.manual_seed(0)
    model = NilocPlus(width=0.125).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    imu, angle, cell = torch.randn(4, 10, 6, 400), torch.randn(4, 10), torch.randint(0, CELLS, (4, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = trajectory_loss(model(imu, angle), cell)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3


def test_seconds_of_unknown_heading_take_the_nearest_known_one():
    nan = float("nan")
    np.testing.assert_array_equal(filled(np.array([nan, nan, 1.0, nan, nan, 2.0, nan])), [1, 1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(filled(np.array([nan, nan])), [0, 0])


def test_impossible_requests_are_refused_in_one_sentence(prepared):
    with pytest.raises(ConfigError, match="width"):
        NilocPlus(width=-1.0)
    with pytest.raises(ConfigError, match="inferred, published"):
        predict_niloc_plus(Compass(), prepared.takes[2], "guessed")
    with pytest.raises(ConfigError, match="inferred, published"):
        train_niloc_plus(prepared, TrainConfig(steps=1), None, protocol="guessed", width=0.05)
    lost = replace(prepared.takes[2])
    lost.__dict__["_columns"] = prepared.takes[2]._columns | {"heading": np.full(60, np.nan)}
    with pytest.raises(DatasetError, match="inferred"):
        predict_niloc_plus(Compass(), lost, "published")


def test_protocol_width_batch_time_views_and_data_are_its_identity(prepared):
    usual = {"width": 1.0, "batch": 16, "time": 10, "views": 4}
    assert niloc_plus_identity(prepared).key == niloc_plus_identity(prepared, **usual).key
    made = [niloc_plus_identity(prepared, **usual)]
    made += [niloc_plus_identity(prepared, **usual | {k: v * 2}) for k, v in usual.items()]
    made += [niloc_plus_identity(prepared, **usual, protocol="inferred")]
    made += [niloc_plus_identity(Prepared(prepared.cache_dir, [], {}, (), "other"), **usual)]
    assert len({m.key for m in made}) == len(made)
