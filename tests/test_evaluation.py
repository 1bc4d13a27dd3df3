"""Scores of takes, references and tables, against cases worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eailkit.baselines import priors, ronin
from eailkit.eail.evaluation import Table, error_over_time, position_error_m, score_take
from eailkit.eail.sequences import Prediction
from eailkit.metrics import METRICS, macro, map_successes, successes
from eailkit.preprocess.mapgrid import MapGrid


def _room(name: str = "k1") -> SimpleNamespace:
    grid = MapGrid(np.array([10.0, -3.0]), 4.0, 0.0)  # cells of 0.2 m
    empty = np.zeros(400, bool)
    empty[:20] = True
    free = np.zeros(400, bool)
    free[100:200] = True
    return SimpleNamespace(name=name, grid=grid, empty=empty, free=free)


class Take(SimpleNamespace):
    """Labels and positions of a take, in memory."""

    def __len__(self):
        return len(self.cell)


def _take(cells, room="k1", split="test-seen", name="t", participant="p", action=None) -> Take:
    grid = _room().grid
    cells = np.asarray(cells)
    take = Take(name=name, room=room, split=split, participant=participant, cell=cells)
    take.position = grid.cell_centres[np.maximum(cells, 0)] + np.array([0.05, 0.0])
    take.action = np.zeros(len(cells), int) if action is None else np.asarray(action)
    return take


class Data(SimpleNamespace):
    """Rooms and takes in memory, with the two methods that scoring uses."""

    def by_split(self, split):
        return [t for t in self.takes if t.split == split]


def _data(takes) -> Data:
    return Data(rooms={"k1": _room("k1"), "k2": _room("k2")}, takes=takes, action_names=("a", "b", "c"))


def _one_hot(cells) -> np.ndarray:
    return np.eye(400, dtype=np.float32)[np.asarray(cells)]


def test_the_right_cell_scores_everything_and_the_next_but_one_fails_at_02():
    take = _take([100, 101, 102])
    data = _data([take])
    right = score_take(data, take, Prediction(_one_hot([100, 101, 102])))
    assert [right[m] for m in METRICS[:4]] == [100.0, 100.0, 100.0, 100.0]
    wrong = score_take(data, take, Prediction(_one_hot([102, 103, 104])))  # 0.4 m to the right, 0.35 m from the device
    assert [wrong[m] for m in METRICS[:3]] == [0.0, 100.0, 100.0]
    assert np.isnan(wrong["top1"])


def test_success_of_tables_is_the_public_metric_and_what_it_was_before():
    rng = np.random.default_rng(3)
    take = _take(rng.integers(0, 400, 60).tolist())
    data = _data([take])
    centres, truth = data.rooms["k1"].grid.cell_centres, np.asarray(take.position, float)
    distance = np.linalg.norm(centres[None] - truth[:, None], axis=2)
    tied = rng.integers(0, 5, (60, 400)).astype(np.float32)  # a fifth of the cells share the highest value
    for confidence in (rng.random((60, 400)).astype(np.float32), tied):
        best = confidence == confidence.max(1, keepdims=True)
        before = [100 * (((distance < d) & best).sum(1) / best.sum(1)).mean() for d in (0.2, 0.4, 0.6)]
        found = score_take(data, take, Prediction(confidence))
        np.testing.assert_allclose([found[m] for m in METRICS[:3]], before, rtol=1e-12)
    positions = truth + rng.normal(0, 0.3, truth.shape)
    positions[5] = np.nan  # a second without an answer
    before = [100 * np.mean(np.linalg.norm(positions - truth, axis=1) < d) for d in (0.2, 0.4, 0.6)]
    found = score_take(data, take, Prediction(position_m=positions))
    np.testing.assert_allclose([found[m] for m in METRICS[:3]], before, rtol=1e-12)
    untied = rng.random((60, 400))
    picked = torch.from_numpy(centres[untied.argmax(1)])
    assert torch.equal(map_successes(untied, centres, truth), successes(picked, torch.from_numpy(truth)).double())


def test_means_of_a_table_are_macro_means_of_public_successes():
    takes = [_take([100, 101, 102]), _take([210] * 9)]
    takes[1].name = "other"
    data = _data(takes)
    maps = {t.name: np.random.default_rng(k).random((len(t), 400)) for k, t in enumerate(takes)}
    table = Table(data, ("test",))
    for take in takes:
        take.split = "test"
    table.add("m", lambda t: Prediction(maps[t.name]))
    centres = data.rooms["k1"].grid.cell_centres
    each = torch.cat([map_successes(maps[t.name], centres, np.asarray(t.position, float)) for t in takes])
    names = [t.name for t in takes for _ in range(len(t))]
    found = table.means().iloc[0][list(METRICS[:3])].tolist()
    assert found == pytest.approx([macro(each[:, k], names) for k in range(3)])


def test_a_uniform_map_scores_what_guessing_scores_and_rs_50():
    take = _take([210])
    data = _data([take])
    scores = score_take(data, take, priors.chance(data, take))
    centres = data.rooms["k1"].grid.cell_centres[20:]
    expected = 100 * np.mean(np.linalg.norm(centres - take.position[0], axis=1) < 0.4)
    assert scores["SR@0.4m"] == pytest.approx(expected, abs=1e-4)
    assert scores["RS"] == pytest.approx(50.0)


def test_unlabelled_seconds_are_left_out_and_counted():
    take = _take([100, -1, 100, -1])
    data = _data([take])
    scores = score_take(data, take, Prediction(_one_hot([100, 0, 0, 0])))
    assert scores["SR@0.2m"] == 50.0 and scores["outside"] == 2 and scores["micro_n"] == 2
    error = position_error_m(data, take, Prediction(_one_hot([100, 0, 0, 0])))
    assert np.isnan(error[[1, 3]]).all() and error[0] == pytest.approx(0.05)


def test_occupancy_never_counts_the_take_itself_and_prefers_the_room():
    here = _take([100, 100], split="train", name="here")
    there = _take([300] * 9, room="k2", split="train", name="there")
    mine = _take([150], name="mine")
    data = _data([here, there, mine])
    assert priors.occupancy(data, mine).confidence[0].argmax() == 100
    alone = _take([150], room="k3", name="alone")
    assert priors.occupancy(_data([here, there, alone]), alone).confidence[0].argmax() == 300
    assert priors.occupancy(data, here).confidence[0].argmax() == 300  # its own seconds don't count


class ReadsOff(torch.nn.Module):
    """A velocity net that is told: the velocity stands in the middle second of its window, in the window's frame."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return torch.cat([x[:, :2, 600], torch.zeros(len(x), 2)], dim=1) * self.scale


@pytest.mark.parametrize("mounted", [True, False])
def test_dead_reckoning_follows_known_velocities_from_the_true_start_and_heading(mounted):
    """A net that knows the velocity must give back the path, whether or not it knows where the head faces."""
    n, heading = 30, 0.7
    velocity = np.stack([np.full(n, 0.5), np.linspace(-0.2, 0.3, n)], 1)  # in the gravity frame
    c, s = np.cos(heading), np.sin(heading)
    world = velocity @ np.array([[c, s], [-s, c]])
    path = np.concatenate([[[1.0, 2.0]], [1.0, 2.0] + np.cumsum((world[1:] + world[:-1]) / 2, axis=0)])
    windows = np.zeros((n, 6, 400), np.float32)
    windows[:, :2] = velocity[:, :, None]
    facing = np.linspace(-3, 9, n) if mounted else np.full(n, np.nan)
    take = SimpleNamespace(windows=windows, position=path.copy(), heading=np.full(n, heading), facing=facing)
    assert np.abs(ronin.dead_reckoning(ReadsOff(), take).position_m - path).max() < 1e-5
    take.position[:3] = np.nan  # the truth begins late: so does the path
    found = ronin.dead_reckoning(ReadsOff(), take).position_m
    assert np.isnan(found[:3]).all() and np.abs(found[3:] - path[3:]).max() < 1e-5


def test_tables_average_takes_alike_and_pair_them():
    takes = [_take([100] * 10, name="a", participant="p1"), _take([100] * 2, room="k2", name="b", participant="p2")]
    data = _data(takes)
    table = Table(data, ("test-seen",))
    table.add("half", lambda t: Prediction(_one_hot([100] * len(t) if t.name == "a" else [399] * len(t))))
    table.add("none", lambda t: Prediction(_one_hot([399] * len(t))))
    assert table.interval("half", "test-seen", "SR@0.2m").mean == 50.0
    assert table.micro().set_index("method").loc["half", "SR@0.2m"] == pytest.approx(100 * 10 / 12)
    assert table.difference("half", "none", "test-seen", "SR@0.2m").mean == 50.0
    assert table.interval("half", "test-seen", "top1") is None
    # two takes of two rooms: a draw that holds one of them twice has the difference 0, so that nothing can be told
    assert not table.difference("half", "none", "test-seen", "SR@0.2m").excludes_zero


def test_a_decision_beside_a_map_is_what_counts_and_rs_stays_the_map_s():
    take = _take([100, 101])
    data = _data([take])
    wrong_map = Prediction(_one_hot([300, 300]))
    decided = Prediction(wrong_map.confidence, np.asarray(take.position, float) + [0.3, 0.0])
    found, alone = score_take(data, take, decided), score_take(data, take, wrong_map)
    assert [found[m] for m in METRICS[:3]] == [0.0, 100.0, 100.0] and alone["SR@0.6m"] == 0.0
    assert found["RS"] == alone["RS"] and 0 < found["RS"] < 100
    assert position_error_m(data, take, decided) == pytest.approx([0.3, 0.3])


def _seeded_table(hits: dict[int, int]) -> tuple[Table, list]:
    """Six takes of two rooms and three people; under each seed the first `hits` seconds of ten are right."""
    takes = [
        _take([100] * 10, room=f"k{1 + k % 2}", name=f"t{k}", participant=f"p{k % 3}", split="test-seen")
        for k in range(6)
    ]
    table = Table(_data(takes), ("test-seen",))
    for seed, right in hits.items():
        table.add("ours", lambda t, n=right: Prediction(_one_hot([100] * n + [399] * (10 - n))), seed=seed)
    table.add("none", lambda t: Prediction(_one_hot([399] * 10)))
    return table, takes


def test_seeds_stand_in_one_table_and_widen_its_intervals():
    table, _ = _seeded_table({0: 2, 1: 4, 2: 9})
    assert sorted(table.scores.seed[table.scores.method == "ours"].unique()) == [0, 1, 2]
    assert table.means().set_index("method").loc["ours", "SR@0.2m"] == 50.0
    found = table.interval("ours", "test-seen", "SR@0.2m")
    assert found.mean == pytest.approx(50.0)
    assert found.low == pytest.approx(20.0) and found.high == pytest.approx(90.0)  # three seeds alike: 1 draw in 27
    alone, _ = _seeded_table({0: 2})
    exact = alone.interval("ours", "test-seen", "SR@0.2m")
    assert (exact.low, exact.mean, exact.high) == pytest.approx((20.0, 20.0, 20.0))
    table.add("ours", lambda t: Prediction(_one_hot([100] * 10)), seed=1)  # replaces that seed alone
    assert table.means().set_index("method").loc["ours", "SR@0.2m"] == pytest.approx((20 + 100 + 90) / 3)


def test_what_is_not_trained_is_compared_with_every_seed_and_trainings_with_their_own():
    table, _ = _seeded_table({0: 2, 1: 4, 2: 9})
    against = table.difference("ours", "none", "test-seen", "SR@0.2m")
    own = table.interval("ours", "test-seen", "SR@0.2m")
    assert (against.low, against.mean, against.high) == pytest.approx((own.low, own.mean, own.high))
    turned = table.difference("none", "ours", "test-seen", "SR@0.2m")
    assert (turned.low, turned.high) == pytest.approx((-own.high, -own.low))
    for seed, right in {0: 1, 1: 3, 2: 8}.items():  # ten points below in each training, so in every draw
        table.add("other", lambda t, n=right: Prediction(_one_hot([100] * n + [399] * (10 - n))), seed=seed)
    paired = table.difference("ours", "other", "test-seen", "SR@0.2m")
    assert (paired.low, paired.mean, paired.high) == pytest.approx((10.0, 10.0, 10.0))


def test_error_over_time_bins_by_elapsed_seconds():
    take = _take([100] * 60, name="a")
    data = _data([take])
    cells = np.array([100] * 30 + [110] * 30)
    frame = error_over_time(data, [take], lambda t: Prediction(_one_hot(cells)), bin_s=30.0)
    assert frame.minute.tolist() == [0.25, 0.75]
    assert frame.error_m.tolist() == pytest.approx([0.05, 1.95])
