"""What every method is read against: entropies, oracles, and a room that is found again when it lies turned."""

from types import SimpleNamespace

import numpy as np
import pytest

from eailkit.baselines import oracles
from eailkit.experiments.bounds import (
    BOUNDS,
    STARVED,
    RoomRetrieval,
    bounds,
    cell_entropies,
    entropy_bits,
    height_map,
    over_rooms,
    room_entropies,
)
from eailkit.preprocess.mapgrid import MapGrid
from tests.test_evaluation import Data, Take

RNG = np.random.default_rng(3)


def box(centre, low, high, points=1500):
    """Points on a block's top, m, around a centre."""
    return np.column_stack(
        [*(centre[k] + RNG.uniform(low[k], high[k], points) for k in (0, 1)), np.full(points, high[2])]
    )


def room(blocks, turn=0.0, centre=(4.0, -2.0)) -> SimpleNamespace:
    """A square of 4 m with blocks in it, lying turned in its map."""
    c, s = np.cos(turn), np.sin(turn)
    cloud = np.concatenate([box((0.0, 0.0), low, high) for low, high in blocks] + [box((0, 0), (-2, -2, 0), (2, 2, 0))])
    cloud[:, :2] = cloud[:, :2] @ np.array([[c, s], [-s, c]]) + centre
    no, all_ = np.zeros(400, bool), np.ones(400, bool)
    return SimpleNamespace(
        grid=MapGrid(np.array(centre), 4.0, 0.0), cloud=cloud.astype(np.float32), empty=no, free=all_
    )


KITCHEN = [((-1.9, -1.9, 0), (1.0, -1.3, 0.9)), ((-1.9, -1.3, 0), (-1.3, 0.8, 1.8)), ((0.4, 0.6, 0), (1.2, 1.2, 0.7))]
OTHER = [((-1.9, 1.2, 0), (-0.4, 1.9, 1.9)), ((-0.5, -0.5, 0), (0.5, 0.5, 0.9)), ((1.5, -1.5, 0), (1.9, 1.5, 0.4))]


def test_entropies_are_those_of_closed_forms():
    assert entropy_bits(np.full(8, 10_000)) == pytest.approx(3.0, abs=1e-3)
    assert entropy_bits([0, 500, 0]) == 0.0 and np.isnan(entropy_bits([0, 0]))
    few = [entropy_bits(np.bincount(RNG.integers(0, 64, 200), minlength=64)) for _ in range(200)]
    assert np.mean(few) == pytest.approx(6.0, abs=0.1)  # the plain estimate would be 0.2 bits short


def test_an_action_that_tells_the_place_leaves_no_bits():
    cell, action = np.repeat([3, 50, 120, 300], 2000), np.repeat([0, 1, 2, 3], 2000)
    place, given = cell_entropies([Take(cell=cell, action=action)])
    assert place == pytest.approx(2.0, abs=0.01) and given == 0.0
    place, given = cell_entropies([Take(cell=cell, action=RNG.permutation(action))])
    assert given == pytest.approx(place, abs=0.01)
    unknown = Take(cell=np.r_[cell, -1, 7], action=np.r_[action, 0, -1])
    assert cell_entropies([unknown])[1] == 0.0


def test_entropies_grow_with_takes_unless_their_number_is_fixed():
    """Every take of a room does the one action at a place of its own."""
    takes = [Take(cell=np.full(1000, 7 * k), action=np.zeros(1000, int)) for k in range(8)]
    assert cell_entropies(takes)[1] == pytest.approx(3.0, abs=0.01)
    for here in (takes[:5], takes):
        assert room_entropies(here, count=4) == pytest.approx((2.0, 2.0), abs=0.01)
    assert room_entropies(takes, count=8) == pytest.approx(cell_entropies(takes))
    assert np.isnan(room_entropies(takes[:4], count=5)).all()
    uneven = [*takes[:3], *(Take(cell=np.full(1000, 0), action=np.zeros(1000, int)) for _ in range(3))]
    one, other = room_entropies(uneven, count=4), room_entropies(uneven, count=4, seed=1)
    assert one == room_entropies(uneven, count=4) and one == pytest.approx(other, abs=0.2)


def kitchens():
    rooms = {"a": room(KITCHEN), "b": room(OTHER), "new": room(KITCHEN, turn=np.pi / 2 + 0.1, centre=(-3.0, 7.0))}
    splits = {"a": ("test-seen", "train", "train", "train", "val-seen"), "b": ("train",), "new": ("test-unseen",)}
    takes = []
    for name, split in ((name, split) for name, found in splits.items() for split in found):
        cell = np.full(30, 45) if name != "b" else np.full(30, 333)
        takes.append(
            Take(cell=cell, action=np.zeros(30, int), position=rooms[name].grid.cell_centres[cell], room=name,
                 split=split, participant="p", name=f"{name}-{len(takes)}", displacement=np.zeros((30, 2)),
                 facing=np.zeros(30), heading=np.zeros(30))
        )  # fmt: skip
    return Data(rooms=rooms, takes=takes, action_names=("x", "y"))


def test_a_turned_room_finds_its_like_and_not_itself():
    retrieval = RoomRetrieval(kitchens())
    name, similarity, habits = retrieval.nearest("new")
    assert name == "a" and similarity > 0.75
    assert habits.reshape(20, 20).argmax() != 45  # the habits turn with the room
    assert retrieval.nearest("a")[0] == "b"  # the other one, though it looks less alike
    assert height_map(room(KITCHEN)).max() == pytest.approx(1.8)


def test_one_row_a_room_with_oracles_above_guessing_and_none_from_too_few_takes():
    frame = bounds(kitchens()).set_index("room")
    assert list(frame.index) == ["a", "new"] and list(frame.nearest) == ["b", "a"]
    assert list(frame.columns[3:-1]) == list(BOUNDS)
    known = frame.loc["a"]
    assert known[oracles.TRUE_ACTION] == 100.0 and known[STARVED] == 0.0
    assert list(known[list(BOUNDS[:2])]) == [0.0, 0.0]
    assert frame.loc["new", [*BOUNDS[:2], oracles.TRUE_ACTION, STARVED]].isna().all()  # no other take to count from
    assert (frame[[oracles.BEST_PLACE, oracles.TRUE_VELOCITIES]] == 100.0).all(axis=None)
    assert (frame["free space"] < 20).all() and frame.side_m.eq(4.0).all()


def test_the_starved_share_is_that_of_the_takes_that_were_counted():
    data = kitchens()
    mine = next(t for t in data.takes if t.split == "test-seen")
    mine.action = np.repeat([0, 1, -1], 10)  # nobody else shows the second action; the last ten have none
    row = bounds(data, ("test-seen",)).iloc[0]
    assert row[STARVED] == 50.0 and row[oracles.TRUE_ACTION] == 100.0  # it falls back on where people were


def test_means_over_rooms_leave_unknown_numbers_out():
    frame = bounds(kitchens())
    too_few = {*BOUNDS[:2], oracles.TRUE_ACTION, STARVED}
    mean, spread, each = over_rooms(frame[frame.split == "test-unseen"])
    assert set(BOUNDS) - set(mean) == too_few and spread == dict.fromkeys(mean, 0.0)
    assert each[0]["room"] == "new" and not too_few & set(each[0])
    mean, spread, _ = over_rooms(frame)
    assert set(mean) == set(BOUNDS) and mean[oracles.TRUE_ACTION] == 100.0 and spread[oracles.TRUE_ACTION] == 0.0
    both = frame["similarity to it"]
    assert mean["similarity to it"] == pytest.approx(both.mean(), abs=1e-3) and spread["similarity to it"] > 0
