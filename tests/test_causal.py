"""EAIL's maps second by second: equal to whole passes of stage 2, and blind to what comes later."""

import numpy as np
import pytest
import torch

from eailkit.eail.causal import AHEAD_S, causal_maps, hypothesis_weights, second_map, window_of
from eailkit.eail.features import Features
from eailkit.eail.inference import under_headings
from eailkit.eail.sequences import heading_angles
from eailkit.eail.stage1 import direction_code
from eailkit.eail.stage2 import BLOCKS, SpatioTemporalReasoner, Stage2Config
from eailkit.eail.tracker import Tracker
from eailkit.preprocess.mapgrid import MapGrid

DIM, ACTIONS, SECONDS, TIME = 16, 5, 23, 10


def reasoner(blocks: str, seed: int = 0) -> SpatioTemporalReasoner:
    """Stage 2 with random weights that answers differently in every cell."""
    torch.manual_seed(seed)
    model = SpatioTemporalReasoner(Stage2Config(embed_dim=DIM, channels=8, actions=ACTIONS, blocks=blocks)).eval()
    torch.nn.init.normal_(model.location[-1].weight)
    return model


def example(seed: int = 0) -> tuple[Features, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    imu = rng.normal(size=(SECONDS, DIM)).astype(np.float32)
    points = rng.normal(size=(400, DIM)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    facing = {"take": rng.uniform(-np.pi, np.pi, SECONDS).astype(np.float32)}
    turns = lambda z, a: z + 0.5 * direction_code(a).repeat_interleave(DIM // 4, dim=-1)  # noqa: E731
    return Features({"take": imu}, {}, facing, direction=turns), points, rng.random(400) < 0.3


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("seconds", [slice(8, 9), slice(0, 3), slice(0, 10)])
def test_asking_for_some_seconds_gives_those_of_a_whole_pass(blocks, seconds):
    model, generator = reasoner(blocks), torch.Generator().manual_seed(1)
    imu, points = torch.randn(3, TIME, DIM, generator=generator), torch.randn(3, 400, DIM, generator=generator)
    empty = torch.rand(3, 400, generator=generator) < 0.3
    with torch.inference_mode():
        whole, some = model(imu, points, empty), model(imu, points, empty, seconds)
    for all_rows, asked in zip(whole, some, strict=True):
        torch.testing.assert_close(asked, all_rows[:, seconds], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_causal_maps_equal_whole_passes_over_each_window(blocks):
    model, (features, points, empty) = reasoner(blocks), example()
    headings = heading_angles()
    maps = causal_maps(
        model,
        features.direction,
        features.takes["take"],
        features.facing["take"],
        points,
        empty,
        headings=headings,
        time=TIME,
    )
    motion = torch.from_numpy(np.stack([features.motion("take", h) for h in headings]))
    for second in (0, 1, 7, 8, 9, 15, SECONDS - 2, SECONDS - 1):
        low, high = max(0, second - 8), min(SECONDS, second + 2)
        with torch.inference_mode():
            location, action = under_headings(
                model, motion[None, :, low:high], torch.from_numpy(points)[None], torch.from_numpy(empty)[None]
            )
        expected = location[0, :, second - low].flatten().softmax(0).view(12, 400)
        np.testing.assert_allclose(maps.joint[second], expected, atol=2e-6)
        np.testing.assert_allclose(maps.action[second], action[0, :, second - low].softmax(-1), atol=2e-6)
    np.testing.assert_allclose(maps.joint.sum((1, 2)), 1, atol=1e-5)
    assert np.ptp(maps.joint.sum(2)) > 0.01, "a model that tells headings apart, or this test shows little"


def test_nothing_later_than_a_second_enters():
    model, (features, points, empty) = reasoner("light"), example()
    known = causal_maps(
        model,
        features.direction,
        features.takes["take"],
        features.facing["take"],
        points,
        empty,
        headings=heading_angles(),
        time=TIME,
    )
    features.takes["take"][14:] += 3
    later = causal_maps(
        model,
        features.direction,
        features.takes["take"],
        features.facing["take"],
        points,
        empty,
        headings=heading_angles(),
        time=TIME,
    )
    first = 14 - AHEAD_S
    np.testing.assert_array_equal(later.joint[:first], known.joint[:first])
    assert np.abs(later.joint[first] - known.joint[first]).max() > 1e-6


def test_windows_hold_ten_seconds_and_fewer_at_the_ends():
    assert window_of(20, 60, TIME) == (slice(12, 22), 8)
    assert window_of(0, 60, TIME) == (slice(0, 2), 0)
    assert window_of(0, 1, TIME) == (slice(0, 1), 0)
    assert window_of(59, 60, TIME) == (slice(51, 60), 8)


def test_headings_in_any_number_answer_alike():
    model, (features, points, empty) = reasoner("light"), example()
    motion = np.stack([features.motion("take", h)[:TIME] for h in heading_angles(5)], axis=1)
    place, without = torch.from_numpy(points), torch.from_numpy(empty)
    joint, action = second_map(model, motion, place, without, 8)
    alone = [second_map(model, motion[:, [h]], place, without, 8) for h in range(5)]
    given = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(given, np.concatenate([j for j, _ in alone]), atol=1e-5)
    np.testing.assert_allclose(action, np.concatenate([a for _, a in alone]), atol=1e-5)


def test_weights_of_hypotheses_are_the_trackers_reading_turned_round():
    rng = np.random.default_rng(0)
    heading = rng.dirichlet(np.ones(36), 3)
    weights = hypothesis_weights(heading, 12)
    np.testing.assert_allclose(weights.sum(1), 1)
    angles, fine = heading_angles(12), heading_angles(36)
    mean = np.angle(weights @ np.exp(1j * angles)) - np.angle(heading @ np.exp(1j * fine))
    assert np.abs(np.angle(np.exp(1j * mean))).max() < 0.05
    tracker = Tracker(MapGrid(np.zeros(2), 4.0, 0.0), np.ones(400, bool), np.zeros(400, bool))
    for h in range(12):  # a map under one hypothesis alone is read by the headings that share with it
        joint = np.full((12, 400), 1e-6)
        joint[h] = 1e-2
        read = np.log(tracker.likelihood(joint)[:, 0, 0].numpy())
        read = (read - read.min()) / np.ptp(read)
        np.testing.assert_allclose(read, hypothesis_weights(np.eye(36), 12)[:, h], atol=1e-4)
