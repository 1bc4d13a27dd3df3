"""Stage 2 under headings: maps against a plain loop, the chain over a take against all paths, training's batches."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eailkit.eail.features import Features, quarter_turns
from eailkit.eail.headings import HeadingMaps, heading_maps, heading_posterior, under_headings
from eailkit.eail.sequences import HYPOTHESES, JITTER_RAD, SequenceBatches, heading_angles
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.preprocess.mapgrid import CELLS, MapGrid

DIM, ACTIONS = 16, 5


@pytest.fixture(scope="module")
def stages() -> tuple[SpatioTemporalReasoner, Stage1]:
    torch.manual_seed(0)
    config = Stage2Config(embed_dim=DIM, channels=8, blocks="light", actions=ACTIONS, place_code=True)
    stage2 = SpatioTemporalReasoner(config).eval()
    torch.nn.init.normal_(stage2.location[-1].weight)
    return stage2, Stage1(Stage1Config(imu_width=8, embed_dim=DIM)).eval()


def _recording(n: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(CELLS, DIM)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return {
        "imu": rng.normal(size=(n, DIM)).astype(np.float32), "facing": rng.uniform(-3, 3, n), "points": points,
        "empty": rng.random(CELLS) < 0.3,
    }  # fmt: skip


def _plain(stage2, stage1, seen: dict, headings: np.ndarray, *, time: int, stride: int):
    """Logits of every window under every heading, softmax over all headings and cells, averaged second by second."""
    n = len(seen["imu"])
    rows = np.minimum(np.arange(max(n, time)), n - 1)
    cells, actions = (np.zeros((len(rows), len(headings), k)) for k in (CELLS, ACTIONS))
    seconds = np.zeros(len(rows))
    starts = sorted({*range(0, len(rows) - time + 1, stride), len(rows) - time})
    points, empty = torch.from_numpy(seen["points"])[None], torch.from_numpy(seen["empty"])[None]
    for start in starts:
        which = rows[start : start + time]
        said = []
        for h, heading in enumerate(headings):
            angle = torch.from_numpy((seen["facing"] + heading)[which]).float()
            motion = torch.nn.functional.normalize(stage1.motion(torch.from_numpy(seen["imu"][which]), angle), dim=-1)
            with torch.no_grad():
                location, action = stage2(motion[None], points, empty)
            said.append(location[0])
            actions[start : start + time, h] += action[0].softmax(-1).numpy()
        joint = torch.stack(said, 1).double()  # (time, headings, cells)
        cells[start : start + time] += joint.flatten(1).softmax(-1).view(joint.shape).numpy()
        seconds[start : start + time] += 1
    return (cells / seconds[:, None, None])[:n], (actions / seconds[:, None, None])[:n]


@pytest.mark.parametrize(("n", "time", "stride"), [(17, 10, 1), (17, 10, 4), (10, 10, 5), (6, 10, 1)])
def test_maps_under_headings_are_those_of_a_plain_loop(stages, n, time, stride):
    stage2, stage1 = stages
    seen, headings = _recording(n), np.array([0.0, 1.0, 4.0])
    found = heading_maps(stage2, stage1.motion, **seen, headings=headings, time=time, stride=stride, batch=3)
    with torch.no_grad():
        cells, actions = _plain(stage2, stage1, seen, headings, time=time, stride=stride)
    np.testing.assert_allclose(found.joint, cells, atol=1e-6)
    np.testing.assert_allclose(found.action, actions, atol=1e-5)
    assert found.joint.sum((1, 2)) == pytest.approx(np.ones(n), abs=1e-5)
    assert found.joint[:, :, seen["empty"]].max() == 0.0
    assert np.abs(found.joint[:, 0] - found.joint[:, 1]).max() > 1e-5  # a heading changes the map


def test_a_heading_that_follows_each_second_is_one_that_stays_where_it_is_constant(stages):
    stage2, stage1 = stages
    seen, rng = _recording(12), np.random.default_rng(1)
    make = lambda headings, **o: heading_maps(stage2, stage1.motion, **(seen | o), headings=headings)  # noqa: E731
    fixed, each = make(np.array([0.5, 2.0])), make(np.tile([0.5, 2.0], (12, 1)))
    np.testing.assert_array_equal(fixed.joint, each.joint)
    drift = rng.uniform(-1, 1, 12)
    moved = make(np.array([[0.5, 2.0]]) + drift[:, None], facing=seen["facing"] - drift)  # only their sum counts
    np.testing.assert_allclose(moved.joint, fixed.joint, atol=1e-5)


def test_one_heading_is_plain_stage_2_and_features_without_directions_have_just_one(stages):
    stage2, stage1 = stages
    seen = _recording(10)
    maps = heading_maps(stage2, None, **seen, headings=np.zeros(1))
    imu = torch.nn.functional.normalize(torch.from_numpy(seen["imu"]), dim=-1)[None]
    with torch.no_grad():
        location, action = stage2(imu, torch.from_numpy(seen["points"])[None], torch.from_numpy(seen["empty"])[None])
    found = maps.weighed(heading_posterior(maps))
    np.testing.assert_allclose(found.confidence, location[0].softmax(-1), atol=1e-6)
    np.testing.assert_allclose(found.action, action[0].softmax(-1), atol=1e-6)
    assert np.array_equal(found.heading, np.ones((10, 1)))


def test_logits_under_headings_keep_sequences_and_headings_apart(stages):
    stage2, _ = stages
    g = torch.Generator().manual_seed(0)
    imu, points = torch.randn(2, 3, 10, DIM, generator=g), torch.randn(2, CELLS, DIM, generator=g)
    empty = torch.rand(2, CELLS, generator=g) < 0.2
    with torch.no_grad():
        location, action = under_headings(stage2, imu, points, empty)
        for b, h in product(range(2), range(3)):
            one = stage2(imu[b : b + 1, h], points[b : b + 1], empty[b : b + 1])
            torch.testing.assert_close(location[b, h], one[0][0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(action[b, h], one[1][0], atol=1e-5, rtol=1e-4)


def _made_up(n: int, headings: int, seed: int = 0) -> HeadingMaps:
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(headings * CELLS, 0.02), n).reshape(n, headings, CELLS)
    return HeadingMaps(heading_angles(headings), joint, rng.dirichlet(np.ones(ACTIONS), (n, headings)))


@given(st.integers(0, 500), st.floats(0.05, 1.5), st.floats(0.001, 0.5))
@settings(max_examples=20, deadline=None)
def test_the_posterior_of_headings_is_a_sum_over_all_their_paths(seed, power, drift):
    n, headings = 4, 5
    maps = _made_up(n, headings, seed)
    said = maps.joint.sum(2) ** power
    change = lambda a, b: {0: 1 - drift, 1: drift / 2, headings - 1: drift / 2}.get((b - a) % headings, 0.0)  # noqa: E731
    smooth, live = np.zeros((n, headings)), np.zeros((n, headings))
    for path in product(range(headings), repeat=n):
        weight = np.prod([said[t, h] for t, h in enumerate(path)])
        weight *= np.prod([change(a, b) for a, b in zip(path, path[1:], strict=False)])
        smooth[np.arange(n), path] += weight
    for end in range(1, n + 1):
        for path in product(range(headings), repeat=end):
            weight = np.prod([said[t, h] for t, h in enumerate(path)])
            live[end - 1, path[-1]] += weight * np.prod([change(a, b) for a, b in zip(path, path[1:], strict=False)])
    whole = heading_posterior(maps, power=power, drift=drift)
    np.testing.assert_allclose(whole, smooth / smooth.sum(1, keepdims=True), atol=1e-9)
    np.testing.assert_allclose(
        heading_posterior(maps, power=power, drift=drift, live=True), live / live.sum(1, keepdims=True), atol=1e-9
    )


def test_small_evidence_adds_up_over_a_take_and_none_leaves_all_headings_alike():
    joint = np.full((400, 12, CELLS), 1 / (12 * CELLS))
    flat = HeadingMaps(heading_angles(), joint, np.ones((400, 12, 1)))
    np.testing.assert_allclose(heading_posterior(flat), np.full((400, 12), 1 / 12), atol=1e-12)
    hinting = joint.copy()
    hinting[:, 7] *= 2.0
    hinting /= hinting.sum((1, 2), keepdims=True)
    live = heading_posterior(HeadingMaps(heading_angles(), hinting, np.ones((400, 12, 1))), live=True)
    assert live[0, 7] < 0.1 and live[-1, 7] > 0.9 and (np.diff(live[:, 7]) > -1e-9).all()


def test_weighed_maps_are_means_of_the_maps_given_each_heading():
    maps = _made_up(6, 3)
    weight = np.random.default_rng(1).dirichlet(np.ones(3), 6)
    found = maps.weighed(weight)
    for t in range(6):
        given_heading = [maps.joint[t, h] / maps.joint[t, h].sum() for h in range(3)]
        np.testing.assert_allclose(found.confidence[t], weight[t] @ np.array(given_heading), rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(found.action[t], weight[t] @ maps.action[t], rtol=1e-5)
    assert found.confidence.sum(1) == pytest.approx(np.ones(6), abs=1e-5)
    certain = np.eye(3)[np.array([0, 1, 2, 0, 1, 2])]
    one = maps.weighed(certain).confidence[1]
    np.testing.assert_allclose(one, maps.joint[1, 1] / maps.joint[1, 1].sum(), rtol=1e-5)


class Take(SimpleNamespace):
    """Labels and orientation of a take, in memory."""

    def __len__(self):
        return self.seconds


def _dataset(directed: bool):
    """Two takes in a square room; a feature of motion is the facing on the map itself, one of a cell its number."""
    rng, grid = np.random.default_rng(0), MapGrid(np.array([2.0, -1.0]), 4.0, 0.0)
    empty = np.arange(CELLS) % 11 == 0
    takes = []
    for name in ("a", "b"):
        position = rng.uniform(-2, 2, (40, 2)) + grid.centre_xy_m
        takes.append(Take(
            name=name, room="r", split="train", seconds=40, position=position, action=rng.integers(-1, 3, 40),
            facing=rng.uniform(-np.pi, np.pi, 40), heading=np.full(40, rng.uniform(-np.pi, np.pi)),
        ))  # fmt: skip
    numbers = np.eye(CELLS, dtype=np.float32)
    tell = lambda imu, angle: torch.stack([angle.cos(), angle.sin(), 0 * angle], -1) + 0 * imu  # noqa: E731
    features = Features(
        {t.name: np.ones((40, 3), np.float32) for t in takes}, {"r": numbers},
        {t.name: t.facing for t in takes} if directed else {}, direction=tell if directed else None,
    )  # fmt: skip
    room = SimpleNamespace(grid=grid, empty=empty)
    by_split = lambda split: [t for t in takes if t.split == split]  # noqa: E731
    return SimpleNamespace(takes=takes, rooms={"r": room}, by_split=by_split), features


def test_a_training_sequence_lies_on_a_turned_map_with_its_true_heading_first():
    """Map, labels and facing are turned by the same quarters; the first heading is nearly true, the others are not."""
    prepared, features = _dataset(directed=True)
    batches = SequenceBatches(prepared, features, batch=8, time=10, hypotheses=4)
    labels = {t.name: prepared.rooms["r"].grid.label(t.position) for t in prepared.takes}
    empty, first, others, quarters = prepared.rooms["r"].empty, [], [], set()
    for step in range(40):
        batch = batches(np.random.default_rng(step), step)
        assert batch["imu"].shape == (8, 4, 10, 3)
        for b in range(8):
            before = batch["points"][b].argmax(1).numpy()  # the cell that each was on the map as it lies
            quarter = next(q for q in range(4) if np.array_equal(before, quarter_turns(q)))
            quarters.add(quarter)
            assert np.array_equal(batch["empty"][b].numpy(), empty[before])
            cell = batch["cell"][b].numpy()
            lying = np.where(cell >= 0, before[cell], -1)
            known = {n: np.where((c >= 0) & ~empty[c], c, -1) for n, c in labels.items()}
            name, second = next(
                (n, s) for n, c in known.items() for s in range(31) if np.array_equal(c[s : s + 10], lying)
            )
            take = next(t for t in prepared.takes if t.name == name)
            assert np.array_equal(batch["action"][b].numpy(), take.action[second : second + 10])
            rows = slice(second, second + 10)
            truth = take.facing[rows] + take.heading[rows] + quarter * np.pi / 2
            angle = np.arctan2(batch["imu"][b, :, :, 1], batch["imu"][b, :, :, 0]).numpy()
            off = np.angle(np.exp(1j * (angle - truth)))
            assert np.abs(np.angle(np.exp(1j * (off - off[:, :1])))).max() < 1e-4  # one for all ten seconds
            first.append(off[0, 0])
            others += list(np.abs(np.angle(np.exp(1j * (off[1:, 0] - off[0, 0])))))
    assert quarters == {0, 1, 2, 3}
    assert np.abs(first).max() <= JITTER_RAD + 1e-5 and np.std(first) == pytest.approx(
        JITTER_RAD / np.sqrt(3), rel=0.15
    )
    assert min(others) >= 2 * JITTER_RAD - 1e-4 and max(others) > np.pi * 0.95
    assert pytest.approx(np.pi / HYPOTHESES) == JITTER_RAD  # half of what lies between two hypotheses


def test_features_that_hold_no_heading_are_looked_at_once():
    prepared, features = _dataset(directed=False)
    batch = SequenceBatches(prepared, features, batch=4, time=10, hypotheses=4)(np.random.default_rng(0), 0)
    assert batch["imu"].shape == (4, 1, 10, 3)
    torch.testing.assert_close(batch["imu"], torch.full_like(batch["imu"], 3**-0.5))
