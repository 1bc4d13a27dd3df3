"""The filter over place and heading: against a hidden Markov model in plain loops, and on walks that are known."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eailkit.eail.features import turn_xy
from eailkit.eail.tracker import FINE, FLOOR, RIM, Observations, Posterior, Tracker, TrackerConfig
from eailkit.preprocess.mapgrid import CELLS, SIDE, MapGrid

GRID = MapGrid(np.array([1.0, -2.0]), 4.0, 0.0)  # 20 cells of 0.2 m, 40 places of 0.1 m an axis
PLACES = SIDE * FINE
EVERYWHERE, NOWHERE = np.ones(CELLS, bool), np.zeros(CELLS, bool)


def flat(seconds: int, headings: int = 1) -> np.ndarray:
    return np.full((seconds, headings, CELLS), 1 / (headings * CELLS), np.float32)


def peaked(joint: np.ndarray, second: int, position_m: np.ndarray, sigma_m: float = 0.15) -> np.ndarray:
    """A map a second that knows the place of one of them, under any heading."""
    away = np.linalg.norm(GRID.cell_centres - position_m, axis=1)
    joint = joint.copy()
    joint[second] = np.exp(-0.5 * (away / sigma_m) ** 2) + 1e-6
    joint[second] /= joint[second].sum()
    return joint


# The model written out: nothing of the tracker's own algebra is used.


def chances(by_m: float, std_m: float, pitch_m: float) -> np.ndarray:
    """[after, before] on an axis: a Gaussian's mass around before + by in each place; RIM of what leaves at the rim."""
    below = lambda x: 0.5 * (1 + math.erf(x / (std_m * math.sqrt(2))))  # noqa: E731
    table = np.zeros((PLACES, PLACES))
    for before, after in product(range(PLACES), range(PLACES)):
        middle = (before - after) * pitch_m + by_m
        low, high = below(-pitch_m / 2 - middle), below(pitch_m / 2 - middle)
        beyond = (low if after == 0 else 0.0) + (1 - high if after == PLACES - 1 else 0.0)
        table[after, before] = high - low + RIM * beyond
    return table


def explained(joint: np.ndarray, habit: np.ndarray, empty: np.ndarray, config: TrackerConfig) -> np.ndarray:
    """Likelihood of every state, (headings, places): maps read between cells and between hypotheses, by loops."""
    logs = config.map_power * np.log(np.maximum(joint, 1e-9)) - config.habit_power * np.log(np.maximum(habit, 1e-9))
    for row in logs:
        row[empty] = np.median(row[~empty])
    hypotheses, out = len(joint), np.zeros((config.headings, PLACES, PLACES))
    at = [min(max((k + 0.5) / FINE - 0.5, 0.0), SIDE - 1.0) for k in range(PLACES)]
    for h in range(config.headings):
        low = math.floor(h * hypotheses / config.headings)
        share = h * hypotheses / config.headings - low
        mixed = (1 - share) * logs[low % hypotheses] + share * logs[(low + 1) % hypotheses]
        mixed = mixed.reshape(SIDE, SIDE)
        for y, x in product(range(PLACES), range(PLACES)):
            i, j = int(at[y]), int(at[x])
            u, v = at[y] - i, at[x] - j
            k, m = min(i + 1, SIDE - 1), min(j + 1, SIDE - 1)
            out[h, y, x] = (1 - u) * ((1 - v) * mixed[i, j] + v * mixed[i, m]) + u * (
                (1 - v) * mixed[k, j] + v * mixed[k, m]
            )
    return np.exp(out - out.max()).reshape(config.headings, -1)


def brute_force(seen: Observations, free, empty, config: TrackerConfig, *, live: bool):
    """Forward and smoothed beliefs, (n, headings, places), and log normalisers, by whole transition matrices."""
    n, headings, step = len(seen), config.headings, 2 * np.pi / config.headings
    floor = np.repeat(np.repeat(np.where(free, 1.0, FLOOR).reshape(SIDE, SIDE), FINE, 0), FINE, 1).ravel()
    leave = min(0.5, (config.drift_rad / step) ** 2)
    drift = np.array(
        [[(1 - leave) * (i == j) + leave / 2 * ((i - j) % headings in (1, headings - 1)) for j in range(headings)]
         for i in range(headings)]
    )  # fmt: skip
    habits = [seen.joint[: t + 1].mean(0) if live else seen.joint.mean(0) for t in range(n)]
    like = [explained(seen.joint[t].astype(float), habits[t].astype(float), empty, config) for t in range(n)]
    moves = []
    for t in range(1, n):
        v = (seen.velocity_mps[t] + seen.velocity_mps[t - 1]) / 2
        s = math.sqrt((seen.velocity_std_mps[t] ** 2 + seen.velocity_std_mps[t - 1] ** 2) / 2) * config.velocity_scale
        s, each = math.hypot(s, config.sway_m), []
        for h in range(headings):
            c, d = math.cos(h * step), math.sin(h * step)
            pitch = GRID.side_m / PLACES
            x, y = chances(c * v[0] - d * v[1], s, pitch), chances(d * v[0] + c * v[1], s, pitch)
            each.append(np.kron(y, x))  # place = row * PLACES + column
        moves.append(each)
    forward, norms = [], []
    belief = np.tile(floor, (headings, 1)) / (headings * floor.sum())
    for t in range(n):
        if t:
            belief = drift @ np.stack([moves[t - 1][h] @ belief[h] for h in range(headings)]) * floor
        belief = belief * like[t]
        norms.append(math.log(belief.sum()))
        belief = belief / belief.sum()
        forward.append(belief)
    smooth, later = list(forward), np.ones_like(belief)
    for t in range(n - 2, -1, -1):
        after = drift.T @ (later * like[t + 1] * floor)
        later = np.stack([moves[t][h].T @ after[h] for h in range(headings)])
        later /= later.max()
        smooth[t] = forward[t] * later / (forward[t] * later).sum()
    return np.stack(forward), np.stack(smooth), np.array(norms)


@pytest.mark.parametrize("habit_power", [0.0, 0.1])
def test_beliefs_are_those_of_a_hidden_markov_model_written_out(habit_power):
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.full(3 * CELLS, 0.3), 3).reshape(3, 3, CELLS).astype(np.float32)
    seen = Observations(joint, rng.normal(0, 0.5, (3, 2)), rng.uniform(0.05, 0.2, 3))
    free, empty = rng.random(CELLS) < 0.7, rng.random(CELLS) < 0.2
    config = TrackerConfig(
        headings=4, map_power=0.5, habit_power=habit_power, drift_rad=0.6, velocity_scale=1.3, sway_m=0.05
    )
    tracker = Tracker(GRID, free, empty, config)
    forward, _, norms = brute_force(seen, free, empty, config, live=True)
    found = tracker.filter(seen)
    np.testing.assert_allclose(found.place, forward.sum(1), atol=1e-5)
    np.testing.assert_allclose(found.heading, forward.sum(2), atol=1e-5)
    np.testing.assert_allclose(found.log_evidence, norms, atol=1e-4)
    for (belief, _), expected in zip(tracker.forward(seen), forward, strict=True):
        np.testing.assert_allclose(belief.reshape(4, -1).numpy(), expected, atol=1e-5)
    _, smooth, _ = brute_force(seen, free, empty, config, live=False)
    found = tracker.smooth(seen)
    np.testing.assert_allclose(found.place, smooth.sum(1), atol=1e-5)
    np.testing.assert_allclose(found.heading, smooth.sum(2), atol=1e-5)


moves = st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0.02, 0.8))


@given(moves, st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_step_keeps_the_mass_that_stays_inside_and_its_transpose_is_the_step_back(move, seed):
    tracker = Tracker(GRID, EVERYWHERE, NOWHERE, TrackerConfig(headings=6, drift_rad=0.3))
    g = torch.Generator().manual_seed(seed)
    belief, other = torch.rand(2, 6, PLACES, PLACES, generator=g)
    belief[:, seed % PLACES] *= 100  # not flat
    by, std = np.array(move[:2]), move[2]
    after = tracker.predict(belief, by, std)
    assert float(after.min()) >= -1e-6 and float(after.sum()) <= float(belief.sum()) * (1 + 1e-4)
    back = tracker.predict(other, by, std, back=True)
    assert float((after * other).sum()) == pytest.approx(float((belief * back).sum()), rel=1e-4)
    kept = tracker.predict(torch.ones_like(belief), by, std, back=True)  # what of each place's chances stays inside
    reach = int(np.ceil((np.linalg.norm(by) + 6 * std) / tracker.grid.pitch_m))
    inner = kept[:, reach : PLACES - reach, reach : PLACES - reach]
    torch.testing.assert_close(inner, torch.ones_like(inner), atol=1e-4, rtol=1e-4)
    assert float(kept.max()) <= 1 + 1e-4 and float(kept.min()) >= 0.99 * RIM**2


def test_a_move_goes_where_the_heading_turns_it_and_little_of_what_leaves_stays_at_the_rim():
    tracker = Tracker(GRID, EVERYWHERE, NOWHERE, TrackerConfig(headings=4, drift_rad=0.0))
    belief = torch.zeros(4, PLACES, PLACES)
    belief[:, 20, 20] = 1.0
    after = tracker.predict(belief, np.array([0.5, 0.2]), 0.01)  # five places and two
    found = [divmod(int(b.argmax()), PLACES) for b in after]
    assert found == [(22, 25), (25, 18), (18, 15), (15, 22)]  # row along y, column along x
    far = tracker.predict(belief, np.array([9.0, 0.0]), 0.01)
    assert [divmod(int(b.argmax()), PLACES) for b in far] == [(20, 39), (39, 20), (20, 0), (0, 20)]
    assert far.sum((1, 2)).numpy() == pytest.approx(RIM, rel=1e-3)


def test_a_known_heading_is_where_the_belief_starts_and_an_unknown_one_is_any():
    free = np.arange(CELLS) % 2 == 0
    tracker = Tracker(GRID, free, NOWHERE)
    assert torch.allclose(tracker.start().sum((1, 2)), torch.full((36,), 1 / 36))
    known = tracker.start(np.radians(-20.0))  # 340 degrees, the 34th of 36
    assert int(known.sum((1, 2)).argmax()) == 34 and float(known.sum((1, 2))[33:36].sum()) > 0.99
    at = known.sum(0).reshape(SIDE, FINE, SIDE, FINE).sum((1, 3)).flatten().numpy()
    assert at[free].sum() > 0.999 and float(known.sum()) == pytest.approx(1.0, abs=1e-5)


def walk(world_steps: np.ndarray, start: np.ndarray, heading: float, std: float = 0.05):
    """True places second by second, and what a velocity net of a gravity frame off by `heading` says of them."""
    path = start + np.cumsum(np.concatenate([np.zeros((1, 2)), world_steps]), axis=0)
    speed = np.concatenate([world_steps[:1], (world_steps[1:] + world_steps[:-1]) / 2, world_steps[-1:]])
    return path, turn_xy(speed, -heading), np.full(len(path), std)


def test_true_velocities_keep_a_path_where_maps_say_nothing():
    """The first second alone is told; thirty seconds of a slow round later the place is still known."""
    angle, heading = np.linspace(0, 4 * np.pi, 30), 0.9
    steps = 0.15 * np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    path, velocity, std = walk(steps, np.array([1.5, -2.0]), heading, std=0.02)
    seen = Observations(peaked(flat(31), 0, path[0]), velocity, std)
    config = TrackerConfig(headings=72, map_power=1.0, sway_m=0.01)
    found = Tracker(GRID, EVERYWHERE, NOWHERE, config).filter(seen, heading_rad=heading)
    away = np.linalg.norm(found.decision() - path, axis=1)
    assert away.max() < 0.25 and np.median(away) < 0.15
    assert (found.radius(found.decision()) > away).mean() > 0.9  # and it knows how well


# legs of 0.8 x 3.2 m along x and y, two cells of wall around them
L_ROOM = np.array([(-3.6 < y < (-2.8 if x > 0.2 else -0.4)) & (-0.6 < x < 2.6) for x, y in GRID.cell_centres])


@pytest.mark.parametrize("heading", [0.0, 2.0, -1.2])
def test_a_walk_through_an_asymmetric_room_tells_the_heading(heading):
    """No map tells a place: only the walls do. Along one leg, round the corner, and back: one heading has room."""
    legs = [(-0.4, 0)] * 6 + [(0, 0.4)] * 6 + [(0, -0.4)] * 6 + [(0.4, 0)] * 6
    path, velocity, std = walk(np.array(legs, float), np.array([2.3, -3.2]), heading)
    tracker = Tracker(GRID, L_ROOM, NOWHERE, TrackerConfig(drift_rad=0.02))
    found = tracker.smooth(Observations(flat(len(path)), velocity, std))
    angle, sure = found.mean_heading()
    off = np.degrees(np.abs(np.angle(np.exp(1j * (angle - heading)))))
    assert off.max() < 15 and sure.min() > 0.9
    assert np.median(np.linalg.norm(found.decision() - path, axis=1)) < 0.3
    live = tracker.filter(Observations(flat(len(path)), velocity, std))
    assert live.mean_heading()[1][0] < 0.2 < sure[0]  # at first it can't know, later it knows of then
    np.testing.assert_allclose(live.place[-1], found.place[-1], atol=1e-6)  # the last second has no later one
    np.testing.assert_allclose(live.heading[-1], found.heading[-1], atol=1e-6)


def test_nothing_later_changes_what_was_said_live():
    rng = np.random.default_rng(3)
    joint = rng.dirichlet(np.full(2 * CELLS, 0.3), 6).reshape(6, 2, CELLS).astype(np.float32)
    whole = Observations(joint, rng.normal(0, 0.4, (6, 2)), np.full(6, 0.1))
    part = Observations(*(x[:4] for x in (whole.joint, whole.velocity_mps, whole.velocity_std_mps)))
    tracker = Tracker(GRID, EVERYWHERE, NOWHERE, TrackerConfig(headings=8, habit_power=0.1))
    np.testing.assert_array_equal(tracker.filter(whole).place[:4], tracker.filter(part).place)
    assert np.abs(tracker.smooth(whole).place[:4] - tracker.smooth(part).place).max() > 1e-5


def test_walls_are_crossed_only_where_the_evidence_is_strong():
    """A wall of three cells between two rooms: a quiet wearer stays on the side that was told; maps can overrule it."""
    x = GRID.cell_centres[:, 0]
    free = (x < 0.7) | (x > 1.3)
    tracker = Tracker(GRID, free, NOWHERE, TrackerConfig(headings=4, map_power=1.0))
    quiet = (np.zeros((6, 2)), np.full(6, 0.05))
    left, right = np.array([0.2, -2.0]), np.array([1.8, -2.0])
    stays = tracker.filter(Observations(peaked(flat(6), 0, left), *quiet))
    sides = stays.place @ (stays.centres_m[:, 0] < 1.0)
    assert sides.min() > 0.99
    said = flat(6)
    for second in range(6):
        said = peaked(said, second, left if second == 0 else right)
    assert tracker.filter(Observations(said, *quiet)).decision()[-1] == pytest.approx(right, abs=0.2)


def test_a_radius_holds_its_mass_and_probabilities_are_masses():
    rng = np.random.default_rng(1)
    place = rng.dirichlet(np.full(PLACES**2, 0.05), 5)
    tracker = Tracker(GRID, EVERYWHERE, NOWHERE)
    heading = np.eye(36)[[0, 9, 18, 35, 0]]
    found = Posterior(place, heading, tracker.grid.cell_centres, np.zeros(5))
    position, pitch = found.decision(), GRID.side_m / PLACES
    for mass in (0.5, 0.9):
        for p, at, radius in zip(place, position, found.radius(position, mass), strict=True):
            away = np.linalg.norm(found.centres_m - at, axis=1)
            assert p[away <= radius - pitch / np.sqrt(2) + 1e-9].sum() >= mass  # whole squares lie inside
            assert p[away < radius - pitch / np.sqrt(2) - 1e-9].sum() < mass  # and no smaller circle would do
    within = [
        p[np.linalg.norm(found.centres_m - at, axis=1) < 0.4].sum() for p, at in zip(place, position, strict=True)
    ]
    np.testing.assert_allclose(found.probability_within(position), within)
    cells = np.zeros((5, CELLS))
    np.add.at(cells.T, GRID.cell_of(found.centres_m), place.T)
    np.testing.assert_allclose(found.cells(), cells)
    assert found.mean_heading()[0] == pytest.approx([0, np.pi / 2, np.pi, -np.pi / 18, 0], abs=1e-6)
    assert found.mean_heading()[1] == pytest.approx(np.ones(5))
