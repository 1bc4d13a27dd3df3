"""What bounds every method: entropies against closed forms, and a room that is found again when it lies turned."""

from types import SimpleNamespace

import numpy as np
import pytest

from eailkit.experiments.bounds import RoomRetrieval, bounds, cell_entropies, entropy_bits, height_map
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


def kitchens():
    rooms = {"a": room(KITCHEN), "b": room(OTHER), "new": room(KITCHEN, turn=np.pi / 2 + 0.1, centre=(-3.0, 7.0))}
    takes = []
    for name, split in (("a", "train"), ("b", "train"), ("a", "test-seen"), ("new", "test-unseen")):
        cell = np.full(30, 45) if name != "b" else np.full(30, 333)
        position = rooms[name].grid.cell_centres[cell]
        takes.append(
            Take(cell=cell, action=np.zeros(30, int), position=position, room=name, split=split, participant="p",
                 name=f"{name}-{split}")
        )  # fmt: skip
    return Data(rooms=rooms, takes=takes, action_names=("x",))


def test_a_turned_room_finds_its_like_and_not_itself():
    retrieval = RoomRetrieval(kitchens())
    name, similarity, habits = retrieval.nearest("new")
    assert name == "a" and similarity > 0.75
    assert habits.reshape(20, 20).argmax() != 45  # the habits turn with the room
    assert retrieval.nearest("a")[0] == "b"  # the other one, though it looks less alike
    assert height_map(room(KITCHEN)).max() == pytest.approx(1.8)


def test_one_row_a_room_with_the_oracle_above_guessing():
    frame = bounds(kitchens())
    assert list(frame.room) == ["a", "new"] and list(frame.nearest) == ["b", "a"]
    assert (frame["oracle of the action"] > 90).sum() == 1  # "new" has no other take to count from
    assert (frame["free space"] < 20).all() and frame.side_m.eq(4.0).all()
