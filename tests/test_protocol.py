"""The paper's presumed protocol: other squares, a take's own cloud, the lines of the table and what is read from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from eailkit.eail.evaluation import score_take
from eailkit.eail.features import Features, turn_xy
from eailkit.eail.inference import stage2_config, stage2_identity
from eailkit.eail.motion_probe import heading_probe, r_squared, ridge
from eailkit.eail.protocol_reading import protocol_reading
from eailkit.eail.squares import bounding_square, features_on, on_clouds, on_squares
from eailkit.errors import ConfigError, DatasetError
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import Methods
from eailkit.experiments.own_clouds import own_clouds, take_jobs
from eailkit.experiments.protocol import record_protocol, recorded_lines, recorded_reading
from eailkit.experiments.protocol_parts import BASE, LINES, SPLITS, TRUTH, Maps, Parts, without_heading
from eailkit.metrics import THRESHOLDS_M, Interval
from eailkit.preprocess.mapgrid import MARGIN_M
from eailkit.profiles import SMOKE
from eailkit.provenance import identity
from eailkit.results.ledger import read
from eailkit.results.names import row_id


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, smoke_kitchens) -> tuple[Run, Path]:
    """A run whose protocol table is recorded, and the ledger's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("protocol")
    record_protocol(smoke_kitchens(folder / "run"), "smoke", (0,), results_dir=folder / "results")
    return Run(folder / "run", "smoke", progress=False), folder / "results"


@pytest.fixture(scope="module")
def prepared(recorded):
    return recorded[0].prepared


# --- squares -------------------------------------------------------------------------------------------------------


def test_a_bounding_square_holds_what_is_known_with_its_margin():
    path = np.array([[1.0, 2.0], [np.nan, 50.0], [4.0, 2.5], [2.0, 3.0]])
    square = bounding_square(path, 0.2)
    assert square.side_m == pytest.approx(3.0 + 2 * MARGIN_M) and square.floor_z_m == 0.2
    assert np.allclose(square.centre_xy_m, (2.5, 2.5))
    with pytest.raises(ConfigError, match="no known position"):
        bounding_square(np.full((3, 2), np.nan), 0.0)


@pytest.mark.parametrize("rule", ["training", "own"])
def test_squares_hold_the_trajectories_that_they_are_drawn_around(prepared, rule):
    moved = on_squares(prepared, rule)
    assert [t.name for t in moved.takes] == [t.name for t in prepared.takes]
    for take, old in zip(moved.takes, prepared.takes, strict=True):
        grid = moved.rooms[take.room].grid
        assert moved.base_room[take.room] == old.room
        own = [t for t in prepared.takes if t.room == old.room and t.split == "train"] if rule == "training" else [old]
        sources = own or [t for t in prepared.takes if t.room == old.room and t.name != old.name]
        places = np.concatenate([np.zeros((0, 2)), *(t.position for t in sources)])
        if not len(places):  # an unseen room with one take: the map's own square
            assert take.name in moved.fallen_back
            assert grid == prepared.rooms[old.room].grid
            continue
        assert (np.abs(places - grid.centre_xy_m) <= grid.side_m / 2 - MARGIN_M + 1e-6).all()
        assert grid.side_m == pytest.approx(np.ptp(places, axis=0).max() + 2 * MARGIN_M)
        if rule == "own":
            assert (take.cell >= 0).all()
    assert (moved.fallen_back != []) == (rule == "training")


def test_an_unseen_take_never_sees_its_own_path_in_the_square_of_others(prepared):
    """Two takes of one unseen room: each has a square of its own, around the other's positions."""
    here = prepared.by_split("val-unseen")[0]
    other = prepared.by_split("train")[0]
    twin = replace(other, name="twin", room=here.room, split="val-unseen")
    moved = on_squares(replace(prepared, takes=[here, twin]), "training")
    first, second = (moved.rooms[t.room].grid for t in moved.takes)
    assert moved.takes[0].room != moved.takes[1].room and not moved.fallen_back
    assert np.allclose(first.centre_xy_m, (np.min(twin.position, 0) + np.max(twin.position, 0)) / 2)
    assert np.allclose(second.centre_xy_m, (np.min(here.position, 0) + np.max(here.position, 0)) / 2)


def test_labels_and_clouds_are_those_of_the_new_square(prepared):
    moved = on_squares(prepared, "own")
    for take in moved.takes:
        room = moved.rooms[take.room]
        near = np.linalg.norm(np.asarray(take.position)[:, None] - room.grid.cell_centres[None], axis=2)
        labelled = take.cell >= 0
        assert np.allclose(near[np.flatnonzero(labelled), take.cell[labelled]], near[labelled].min(1), atol=1e-5)
    room = moved.rooms[moved.takes[0].room]
    cell = int(np.flatnonzero(~room.empty)[100])
    points = np.asarray(room.points[cell][room.valid[cell]], float)
    world = points + (*room.grid.cell_centres[cell], room.grid.floor_z_m)
    assert np.median(cKDTree(room.scan).query(world)[0]) < 0.03  # centroids of 5 cm voxels
    assert np.abs(points[:, :2]).max() <= 0.5 + 1e-6


def test_the_rule_of_squares_names_the_dataset(prepared):
    keys = {on_squares(prepared, rule).identity.key for rule in ("training", "own")} | {prepared.identity.key}
    assert len(keys) == 3
    profile, features = SMOKE, identity("features")
    second = [
        stage2_identity(on_squares(prepared, rule), features, profile, stage2_config(profile, 3)).key
        for rule in ("scan", "training", "own")
    ]
    assert len(set(second)) == 3  # a stage 2 of one square is never taken for another's
    with pytest.raises(ConfigError, match="found 'room'; expected one of scan, training, own"):
        on_squares(prepared, "room")


@pytest.mark.whole
def test_turned_maps_of_training_squares_label_a_place_by_its_turned_square(recorded, tmp_path):
    run, _ = recorded
    moved = on_squares(run.prepared, "training")
    model = run.stage1()
    base = run.features(model)
    features = features_on(model, base, moved, tmp_path, views=2)
    assert features.identity.key != base.identity.key and features.stage1_tag == base.stage1_tag
    take = moved.by_split("train")[0]
    assert set(features.views) == {t.room for t in moved.by_split("train")}
    view = features.views[take.room][1]
    assert view.angle == base.views[take.room][1].angle  # one difference at a time
    turned = turn_xy(np.asarray(take.position, float), view.angle)
    assert (np.abs(turned - view.grid.centre_xy_m) <= view.grid.side_m / 2).all()
    label = view.label(take.position, 0)
    apart = np.linalg.norm(view.grid.cell_centres[label] - turned, axis=1)[label >= 0]
    assert len(apart) and apart.max() <= view.grid.pitch_m * 0.71
    again = features_on(model, base, moved, tmp_path, views=2)
    assert np.array_equal(again.views[take.room][1].features, view.features)


# --- a take's own cloud ----------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_a_takes_own_cloud_lies_on_the_rooms_surfaces_and_is_as_large_as_its_scan(recorded):
    run, _ = recorded
    names = [t.name for s in SPLITS for t in run.prepared.by_split(s)]
    clouds = own_clouds(run.dataset(), names, run.dir, run.prepared.identity)
    moved = on_clouds(run.prepared, clouds, by="test")
    assert [t.name for t in moved.takes] == sorted(names)
    for take in moved.takes:
        old = run.prepared.rooms[moved.base_room[take.room]]
        apart, _ = cKDTree(old.scan).query(clouds[take.name])
        assert np.median(apart) < 0.04 and np.percentile(apart, 90) < 0.15
        assert 0.6 < len(clouds[take.name]) / len(old.scan) < 1.6
        assert moved.rooms[take.room].grid == old.grid
        assert not np.array_equal(moved.rooms[take.room].points, old.points)
    assert moved.identity.key != run.prepared.identity.key


@pytest.mark.whole
def test_jobs_of_a_dataset_are_found_by_its_card(recorded, tmp_path):
    run, _ = recorded
    jobs = take_jobs(run.dataset())
    for take in run.prepared.takes:
        job = jobs[take.name]
        assert (job.room_id, job.participant, job.split) == (take.room, take.participant, take.split)
    with pytest.raises(DatasetError, match="expected a SynthKitchen folder"):
        take_jobs(tmp_path)


# --- the record ------------------------------------------------------------------------------------------------------


def test_lines_that_use_ground_truth_say_so_and_no_other_does():
    told = {line.name for line in LINES if TRUTH in line.name}
    untold = {"heading-free", BASE, "chance"}
    assert told | untold == {line.name for line in LINES} and not told & untold
    assert len({line.name for line in LINES}) == len(LINES)


@pytest.mark.whole
def test_every_line_is_recorded_on_both_splits(recorded):
    _, results = recorded
    rows = {row["id"]: row for row in read("protocol_smoke", results_dir=results)}
    methods = [line for line in LINES if line.heading != "chance"]
    for split in SPLITS:
        assert {row_id(split, line.name) for line in LINES} <= set(rows)
        for line in methods:
            row = rows[row_id(split, line.name)]
            assert set(row["mean"]) == {*(f"SR@{d}m" for d in THRESHOLDS_M), "RS", "top1"}
            assert row["minutes"] > 0 and row["config"]["side_m, mean over takes"] > 1
            against = row["config"]["against inferred, points"]
            assert set(against) == (set() if line.name == BASE else set(row["mean"]))
            known = [w for w in ("a, heading", "c, square", "d, cloud") if "true" in row["config"]["switches"][w]]
            assert bool(known) == (TRUTH in row["id"]) or row["config"]["switches"]["c, square"].startswith("around")
    assert "(b) without (a) is this line" in rows[row_id("test-seen", BASE)]["config"]["note"]
    assert "(a) without (b) is this line" in rows[row_id("test-seen", "heading-free")]["config"]["note"]
    probes = [row for name, row in rows.items() if name.startswith("probe")]
    assert len(probes) == 3 and sum(TRUTH in row["id"] for row in probes) == 1
    own, scan = (
        rows[row_id("test-seen", name)]["config"]["side_m, mean over takes"]
        for name in (f"c: square of the take's own trajectory ({TRUTH})", BASE)
    )
    assert own < scan
    assert "the paper's 70.2" in recorded_reading("smoke", results_dir=results)
    assert recorded_reading("smoke", results_dir=results / "nowhere") == ""
    shown = recorded_lines("smoke", results_dir=results)
    assert list(shown.index) == [line.name for line in LINES] and shown.loc[BASE, f"test-seen: against {BASE}"] == ""
    mean = rows[row_id("test-unseen", BASE)]["mean"]["SR@0.4m"]
    assert shown.loc[BASE, "test-unseen: SR@0.4m"].startswith(f"{mean:.1f} [")
    assert recorded_lines("smoke", results_dir=results / "nowhere").empty


@pytest.mark.whole
def test_the_inferred_line_is_the_method_of_the_other_tables_and_is_found_again(recorded, monkeypatch):
    run, _ = recorded
    parts = Parts(run, Maps(run))
    base = next(line for line in LINES if line.name == BASE)
    methods = Methods(run.prepared, run.features(run.stage1()), run.profile, None, run.stage2(), None)
    monkeypatch.setattr("eailkit.experiments.protocol_parts.Methods", lambda *_: None)  # scores are found, not made
    scores = parts.scores(base).set_index("take")
    for take in run.prepared.by_split("test-seen"):
        again = score_take(run.prepared, take, methods.alone(take))
        assert again == pytest.approx({m: scores.loc[take.name, m] for m in again}, nan_ok=True)


@pytest.mark.whole
def test_intervals_are_drawn_over_rooms_whatever_the_squares(recorded):
    run, _ = recorded
    parts = Parts(run, Maps(run))
    rooms = {t.name: t.room for t in run.prepared.takes}
    for line in LINES:
        scores = parts.scores(line)
        assert dict(zip(scores["take"], scores.room)) == {n: rooms[n] for n in scores["take"]}


@pytest.mark.whole
def test_features_without_a_heading_hold_none(recorded):
    run, _ = recorded
    features = run.features(run.stage1())
    plain = without_heading(features)
    name = run.prepared.takes[0].name
    assert np.allclose(plain.motion(name, 0.0), plain.motion(name, 2.0))
    assert not np.allclose(features.motion(name, 0.0), features.motion(name, 2.0))
    assert np.allclose(plain.motion(name, 0.0), features.motion(name, np.nan), atol=1e-6)
    assert plain.identity.key != features.identity.key and plain.stage1_tag == features.stage1_tag


# --- readings --------------------------------------------------------------------------------------------------------


def around(mean: float, half: float = 2.0) -> Interval:
    """An interval of made-up numbers."""
    return Interval(mean, mean - half, mean + half)


def read_numbers(**told: tuple[float, float]) -> list[str]:
    """The reading of one number, 70, that "none" misses at 30: setting -> (success, chance)."""
    success = {"seen": {"none": {"SR": around(30.0)}} | {k: {"SR": around(v)} for k, (v, _) in told.items()}}
    gains = {"seen": {k: {"SR": around(v - 30.0)} for k, (v, _) in told.items()}}
    chance = {"seen": {"none": {"SR": 8.0}} | {k: {"SR": c} for k, (_, c) in told.items()}}
    return protocol_reading(success, gains, {"seen": {"SR": 70.0}}, chance, base="none").splitlines()


def test_a_switch_that_reaches_the_papers_number_explains_it():
    first, *rest = read_numbers(heading=(69.0, 8.0), cloud=(31.0, 8.0))
    assert "40.0 points miss from none (30.0 [28.0, 32.0]) to the paper's 70.0" in first
    assert "heading brings 39.0 [37.0, 41.0] (98 %)" in first and first.endswith("It is explained by heading.")
    assert "cloud" not in first  # one point that can't be told from none
    assert rest[:2] == ["heading explains SR seen.", "cloud explains none of the paper's numbers."]
    assert rest[2].startswith("Each of the paper's 1 numbers is reached")


def test_a_switch_that_brings_a_part_is_said_with_its_share_and_with_what_chance_gains():
    first, *rest = read_numbers(square=(40.0, 13.0), cloud=(20.0, 8.0))
    assert "square brings 10.0 [8.0, 12.0] (25 %, chance alone 5.0)" in first and "cloud loses 10.0" in first
    assert first.endswith("It is explained by none: square is 30.0 short.")
    assert rest[-1] == "No setting explains 1 of 1: SR seen."


def test_a_number_that_needs_no_switch_is_said_to_need_none():
    success = {"seen": {"none": {"SR": around(69.0)}, "heading": {"SR": around(80.0)}}}
    gains = {"seen": {"heading": {"SR": around(11.0)}}}
    chance = {"seen": {"none": {"SR": 8.0}, "heading": {"SR": 8.0}}}
    first, second, _ = protocol_reading(success, gains, {"seen": {"SR": 70.0}}, chance, base="none").splitlines()
    assert "needs no switch" in first and second == "heading explains none of the paper's numbers."


# --- the probe -------------------------------------------------------------------------------------------------------


def walker(name: str, split: str, seed: int, n: int = 400) -> SimpleNamespace:
    """A take whose wearer walks where the head faces."""
    rng = np.random.default_rng(seed)
    facing, heading = rng.uniform(-np.pi, np.pi, n), np.full(n, rng.uniform(-np.pi, np.pi))
    speed = rng.uniform(0.3, 1.2, n)
    on_map = facing + heading
    displacement = (speed * np.stack([np.cos(on_map), np.sin(on_map)])).T

    class Take(SimpleNamespace):
        def __len__(self):
            return n

    return Take(
        name=name, split=split, room="k", facing=facing, heading=heading, displacement=displacement, speed=speed
    )


@pytest.fixture
def walkers():
    """Four takes, and features whose first numbers are speed times direction where a heading is told."""
    takes = [walker(f"t{k}", split, k) for k, split in enumerate(("train", "train", "val-seen", "val-unseen"))]
    data = SimpleNamespace(by_split=lambda split: [t for t in takes if t.split == split])

    def direction(imu, angle):
        told = torch.stack([imu[:, 0] * angle.cos(), imu[:, 0] * angle.sin(), torch.full_like(angle, 5.0)], 1)
        return torch.cat([torch.nan_to_num(told), imu], 1)

    imu = {t.name: np.stack([t.speed, *np.random.default_rng(9).normal(size=(4, len(t)))], 1) for t in takes}
    imu = {k: v.astype(np.float32) / 10 for k, v in imu.items()}
    return data, Features(imu, {}, {t.name: t.facing for t in takes}, {}, direction)


def test_the_probe_reads_a_direction_that_is_there_and_none_that_is_not(walkers):
    data, features = walkers
    known, withheld = heading_probe(data, features), heading_probe(data, features, known=False)
    assert min(known["R2 of direction"], known["R2 of velocity"], known["R2 of velocity, every second"]) > 0.9
    assert max(v for k, v in withheld.items() if k.startswith("R2")) < 0.05
    assert known["walking seconds"] == sum((t.speed >= 0.4).sum() for s in ("val-seen", "val-unseen")
                                           for t in data.by_split(s))  # fmt: skip


def test_the_probe_reads_nothing_of_another_seconds_direction(walkers):
    data, features = walkers
    for split in ("train", "val-seen", "val-unseen"):
        for take in data.by_split(split):
            take.displacement = np.random.default_rng(3).permutation(take.displacement)
    shuffled = heading_probe(data, features)
    assert max(v for k, v in shuffled.items() if k.startswith("R2")) < 0.05


def test_the_probe_wants_walking_seconds_on_both_sides(walkers):
    data, features = walkers
    with pytest.raises(DatasetError, match="found no take of test-seen"):
        heading_probe(data, features, score_on=("test-seen",))
    for take in data.by_split("val-seen"):
        take.displacement = take.displacement * 0.01
    with pytest.raises(DatasetError, match="walking seconds to fit on and 0 to score"):
        heading_probe(data, features, score_on=("val-seen",))


def test_ridge_without_a_penalty_is_least_squares_and_r_squared_is_one_on_a_line():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    expected = np.linalg.lstsq(np.column_stack([x, np.ones(200)]), y, rcond=None)[0]
    assert np.allclose(ridge(x, y, penalty=0.0)(x), np.column_stack([x, np.ones(200)]) @ expected)
    line = x @ rng.normal(size=(3, 2)) + 4.0
    assert r_squared(ridge(x, line, penalty=1e-9)(x), line) == pytest.approx(1.0)
    assert r_squared(np.broadcast_to(line.mean(0), line.shape), line) == pytest.approx(0.0)
