"""The paper's profile on an Ego-Exo4D download: takes, splits, classes and clocks by rule, a step of every stage."""

import importlib.util
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_dataset import one_sentence, position_at, write_dataset
from fake_release import Entry, entries, start_s, step_at, turned_at, write_release
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vision_language import write_slip

from eailkit.datasets import EgoExo4D
from eailkit.datasets.cooking import CookingConfig, cooking_root
from eailkit.datasets.egoexo4d_release import CookingTake, Segment
from eailkit.datasets.egoexo4d_splits import SPLITS, SplitConfig, draw_splits
from eailkit.datasets.keystep_classes import base_forms, keystep_classes, step_verb
from eailkit.encoders import PointNet2
from eailkit.errors import CheckpointError, ConfigError, DatasetError, EailkitError, RecordingError
from eailkit.experiments.data_root import data_root, training_seconds
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import FULL, TRACKED
from eailkit.experiments.rows.catalog import TABLES
from eailkit.experiments.rows.plan import plan, told
from eailkit.experiments.rows.reproduce import Asked, reproduce_tables
from eailkit.experiments.rows.work import Place
from eailkit.metrics import METRICS
from eailkit.preprocess.mapgrid import estimate_grid, local_clouds
from eailkit.profiles import PAPER, counted
from eailkit.recording import PointMap
from eailkit.results.ledger import read
from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION
from eailkit.training import TrainConfig

SECONDS = 22
ONE = TrainConfig(steps=1, warmup_steps=0)
SMALL = replace(  # the paper's profile but for the sizes that cost time, a step of each training
    PAPER, points_variant="quick", points_per_cell=64, imu_width=8, embed_dim=24, conv_channels=8, views=1,
    hypotheses=2, stage1_batch=8, stage2_batch=2, stage1=ONE, stage2=ONE, ablation=ONE, velocity=ONE, imu_alone=ONE,
    eval_stride_s=5, epochs=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    return write_release(tmp_path_factory.mktemp("egoexo4d") / "release", seconds=SECONDS)


@pytest.fixture(scope="module")
def slip_weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("slip") / "slip_small.pt"
    write_slip(path)
    return path


@pytest.fixture(scope="module")
def run(release, slip_weights, tmp_path_factory) -> Run:
    torch.set_num_threads(1)
    return Run(tmp_path_factory.mktemp("run"), SMALL, data=release, towers=slip_weights, progress=False)


def test_everything_of_a_take_is_on_one_clock(run):
    """Annotations and video count from the take's start, IMU and trajectory from when the glasses were switched on."""
    by_name = {entry.name: entry for entry in entries()}
    assert len(run.prepared.takes) == 12 and len(run.prepared.rooms) == 5
    for take in run.prepared.takes:
        entry, mid = by_name[take.name], np.arange(SECONDS) + 0.5
        assert take.start_s == pytest.approx(start_s(entry, SECONDS), abs=1e-5) and take.start_s > 1000
        np.testing.assert_allclose(take.mid_s, mid)
        np.testing.assert_allclose(take.position, position_at(mid)[:, :2], atol=2e-3)
        faces = np.asarray(take.facing + take.heading, float)  # IMU alone, then the trajectory's part of it
        assert np.abs(np.angle(np.exp(1j * (faces - turned_at(mid))))).max() < np.radians(4)
        assert np.ptp(np.unwrap(take.heading)) < np.radians(3)  # the two agree on when the head turned
        assert (take.cell >= 0).all()
        if take.name == "iiith_cooking_21_1":  # nobody annotated it
            assert set(take.caption) == {""} and set(take.action) == {-1}
        else:
            assert list(take.caption) == [f"C does thing {k}" for k in range(SECONDS)]
            done = [step_verb(step_at(entry, t)).replace("washing", "wash") for t in mid]
            assert [run.prepared.action_names[a] for a in take.action] == done
        levels = take.frames[take.frame].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(levels, 20 + 8 * np.arange(SECONDS), atol=3)
        assert take.frames.shape[1:] == (224, 224, 3)
    assert run.prepared.action_names == ("chop", "crack", "get", "plate", "stir", "wash")


def test_another_start_on_the_clock_moves_annotations_and_not_the_trajectory(release, tmp_path):
    """An offset that nobody shifts to zero: a take that begins 2 s later sees the wearer 2 s further."""
    root = shutil.copytree(release, tmp_path / "release")
    takes = json.loads((root / "takes.json").read_text())
    for take in takes:
        take["timesync_start_idx"] += 60
        take["duration_sec"] -= 3
    (root / "takes.json").write_text(json.dumps(takes))
    dataset = EgoExo4D(data_root(root, tmp_path / "out"))
    take = next(t for t in dataset.takes if t.split == "train")
    before = EgoExo4D(data_root(release, tmp_path / "out")).start_s(take.name)
    assert dataset.start_s(take.name) == pytest.approx(before + 2.0, abs=1e-5)
    there = dataset.recording(take.name).trajectory.position_at(np.array([dataset.start_s(take.name)]))
    np.testing.assert_allclose(there, position_at(np.array([2.0])), atol=2e-3)
    assert dataset.keysteps(take.name)[0].start_s == pytest.approx(before + 2.0, abs=1e-5)


def test_a_step_of_every_stage_on_the_release(run):
    stage1, history = run.train_stage1()
    assert len(history.steps) == 1 and {"total", "imu_points"} & set(history.steps[0])
    assert run.vision_language_targets.text.shape[1] == 24 and run.towers.name == "slip_small"
    stage2, history = run.train_stage2(stage1)
    assert len(history.steps) == 1 and math.isfinite(history.steps[0]["total"])
    table = run.reference_table(stage1, stage2)
    assert set(table.scores.split) == {"test-seen", "test-unseen"}
    ours = table.scores[table.scores.method.isin([FULL, TRACKED, "dead reckoning", "IMU alone"])]
    assert set(ours["take"]) == {t.name for s in ("test-seen", "test-unseen") for t in run.prepared.by_split(s)}
    assert ours[[m for m in METRICS if m.startswith("success")]].notna().all().all()
    assert not run.shipped
    without, _ = run.train_stage1(use_vision_language=False)
    _, history = run.train_stage2(without, variant="w/o vision-language")
    assert math.isfinite(history.steps[0]["total"])


class EvenRates:
    """A second of everything: measuring takes half a minute, and of what is there no cost counts."""

    def __call__(self, kind: str, *options) -> float | tuple[float, float]:
        return (1.0, 1.0) if kind == "simulation" else 1.0

    def net(self, *_) -> float:
        return 1.0


@pytest.mark.whole
def test_every_row_runs_on_the_release(release, slip_weights, tmp_path):
    tiny = replace(SMALL, baseline=ONE, niloc_plus=ONE, action_net=ONE, baseline_width=0.125, action_size="small",
                   conv_blocks="light")  # fmt: skip
    place = Place(str(tmp_path / "run"), tiny, str(release), (("slip", str(slip_weights)),))
    tables, said = ("table1", "table2", "table3", "table4", "table5"), []
    asked = Asked(tables, place, seeds=(0,), jobs=1)
    reproduce_tables(asked, results_dir=tmp_path / "results", command="test", say=said.append)
    for table in tables:
        found = {row["config"]["row"] for row in read(f"{table}_paper", results_dir=tmp_path / "results")}
        assert found == {row.id for row in TABLES[table]}
    rows = {row["config"]["row"]: row for row in read("table5_paper", results_dir=tmp_path / "results")}
    wide = rows["table5/clip"]["config"]["trained"]["0"]["parameters"]["stage 1"]
    assert wide > rows["table5/slip-default"]["config"]["trained"]["0"]["parameters"]["stage 1"], "128 numbers, not 24"
    assert "0.0 core-hours are left" in told(asked, plan(asked, EvenRates()))


def test_epochs_are_counted_into_steps_of_what_was_found(run, release, slip_weights):
    counting = Run(run.dir, replace(SMALL, epochs=(250, 100)), data=release, towers=slip_weights, progress=False)
    seconds = training_seconds(run.prepared)
    assert seconds == 6 * SECONDS
    assert counting.profile.stage1.steps == math.ceil(250 * seconds / 8)
    assert counting.profile.stage2.steps == counting.profile.ablation.steps == math.ceil(100 * seconds / 10 / 2)
    assert counting.profile.velocity == SMALL.velocity and counting.prepared.identity.key == run.prepared.identity.key
    paper = counted(PAPER, round(564.13 * 3600))  # EAIL section 5.1, were all hours trained on
    assert (paper.stage1.steps, paper.stage2.steps) == (7_933_079, 317_324)
    assert counted(PAPER, round(564.13 * 900)).stage1.steps == 1_983_270  # were they the hours of four cameras
    assert paper.ablation == paper.stage2 and counted(paper, 5) == paper
    with pytest.raises(ConfigError, match="seconds: found 0"):
        counted(PAPER, 0)


def test_the_paper_s_point_encoder_takes_a_column_of_the_release(release):
    dataset = EgoExo4D(release)
    cloud, source = dataset.room_map("iiith_cooking_10_1")
    assert "another take" in source
    points = cloud.confident().points_world_m
    dense = points[:, None] + np.random.default_rng(0).uniform(-0.3, 0.3, (1, 40, 3))
    grid = estimate_grid(PointMap(points, source="release"))
    local = local_clouds(dense.reshape(-1, 3), grid, points_per_cell=PAPER.points_per_cell)
    cell = int(np.flatnonzero(~local.empty)[0])
    net = PointNet2(variant=PAPER.points_variant, embed_dim=PAPER.embed_dim).eval()
    with torch.inference_mode():
        found = net(torch.from_numpy(local.points[cell : cell + 1]))
    assert local.points.shape == (400, 8192, 3) and found.shape == (1, 512) and found.isfinite().all()


def test_vrs_of_the_release_is_read_in_its_place(release, real_data, tmp_path):
    pytest.importorskip("projectaria_tools", reason="projectaria-tools is not installed")
    found = sorted((real_data / "aria_vrs").glob("*.vrs"))
    if not found:
        pytest.skip("no VRS in EAILKIT_REAL_DATA")
    root = shutil.copytree(release, tmp_path / "release")
    for take in entries():
        (root / "takes" / take.name / "imu-left.parquet").unlink()
        shutil.copy(found[0], root / "takes" / take.name / "aria01_noimagestreams.vrs")
    dataset = EgoExo4D(data_root(root, tmp_path / "out"))
    imu = dataset.imu("iiith_cooking_10_1")
    assert len(imu) == 121 and dataset.device_from_imu("iiith_cooking_10_1").shape == (3, 3)


# --- the rules


@st.composite
def releases(draw) -> list[CookingTake]:
    """Takes of 6 to 20 kitchens; a few people cook in two, a few frames have no cloud."""
    takes = []
    for kitchen in range(draw(st.integers(6, 20))):
        for capture in range(draw(st.integers(1, 3))):
            clouded = draw(st.integers(0, 9)) > 0
            for number in range(draw(st.integers(1, 5))):
                wandering = draw(st.integers(0, 9)) == 0
                person = draw(st.integers(0, 4)) if wandering else 100 * kitchen + draw(st.integers(0, 3))
                name = f"k{kitchen:02d}_{capture}_{number}"
                takes.append(CookingTake(
                    name, f"uid-{name}", str(kitchen), str(person), f"k{kitchen}_{capture}", 0,
                    draw(st.integers(60, 2500)), "", f"graph{kitchen}.{capture}", "c" if clouded else "",
                ))  # fmt: skip
    return takes


@settings(max_examples=60, deadline=None)
@given(releases(), st.integers(0, 5), st.booleans())
def test_no_split_tests_unseen_what_training_has_seen(takes, seed, own_clouds):
    config = SplitConfig(seed=seed, own_clouds=own_clouds)
    try:
        found = draw_splits(takes[::-1], config)
    except DatasetError as fault:
        assert "too few for" in str(fault) or "without a map" in str(fault)
        return
    assert found == draw_splits(takes, config)  # whatever order the lists have
    assert set(found.split.values()) == set(SPLITS)
    assert {*found.split, *found.left_out} == {t.name for t in takes} and not {*found.split} & {*found.left_out}
    parts = {part: [t for t in takes if found.split.get(t.name) == part] for part in SPLITS}
    kitchens = {part: {t.kitchen for t in parts[part]} for part in SPLITS}
    people = {part: {t.participant for t in parts[part]} for part in SPLITS}
    for one, other in (("train", "test-unseen"), ("train", "val-unseen"), ("val-unseen", "test-unseen")):
        assert not kitchens[one] & kitchens[other] and not people[one] & people[other]
    assert kitchens["test-seen"] | kitchens["val-seen"] <= kitchens["train"]
    for part in SPLITS[1:]:
        for take in parts[part]:
            assert own_clouds or found.scans[take.frame] != take.name, "judged on the map that its own recording made"
            if part.endswith("-seen") and not own_clouds:
                assert any(t.frame == take.frame for t in parts["train"])


def test_sixty_kitchens_are_split_as_the_bench_s_are():
    takes = [
        CookingTake(f"k{k}_{n}", "", str(k), f"{k}.{n % 3}", f"k{k}", 0, 500.0, "", f"g{k}", "c")
        for k in range(60)
        for n in range(6)
    ]
    found = draw_splits(takes)
    kitchens = {part: len({t.kitchen for t in takes if found.split.get(t.name) == part}) for part in SPLITS}
    assert (kitchens["train"], kitchens["val-unseen"], kitchens["test-unseen"]) == (44, 6, 10)
    assert Counter(found.split.values()) == {
        "train": 194, "val-seen": 26, "val-unseen": 30, "test-seen": 44, "test-unseen": 50,
    }  # fmt: skip
    other = draw_splits(takes, SplitConfig(seed=1))
    assert other.split != found.split
    fewer = draw_splits(takes[6:])  # a kitchen less moves few others
    moved = [n for n, part in fewer.split.items() if found.split.get(n) not in (None, part)]
    assert len(moved) < 0.1 * len(takes)


def test_a_person_tests_where_most_of_their_time_is():
    takes = [
        CookingTake(f"k{k}_{n}", "", str(k), f"{k}", f"k{k}", 0, 500.0, "", f"g{k}", "c")
        for k in range(8)
        for n in range(4)
    ]
    unseen = next(t for t in takes if draw_splits(takes).split.get(t.name) == "test-unseen")
    guest = replace(unseen, name="guest", participant="0" if unseen.kitchen != "0" else "1", seconds=10.0)
    found = draw_splits([*takes, guest])
    assert "another part" in found.left_out["guest"]
    assert found.scans[unseen.frame] == "guest"  # it can't test, so it may as well be the map


def test_a_class_is_the_verb_of_a_step():
    expected = {
        "Get eggs": "get", "Carefully crack the egg": "crack", "(Optional) Then add salt": "add",
        "Wash/rinse hands": "wash", "apply oil": "apply", "stir-fry noodles": "stir", "": "", "  12 ": "",
        "turn on the stove": "turn", "Slowly": "",
    }  # fmt: skip
    assert {name: step_verb(name) for name in expected} == expected
    assert base_forms("slicing")[0] == "slice" and "stir" in base_forms("stirring") and "cook" in base_forms("cooked")
    assert "wash" in base_forms("washes") and "chop" in base_forms("chopped") and base_forms("cut") == ()


def test_classes_are_the_most_frequent_verbs_of_training_alone():
    training = {
        "a": [Segment(0, 10, "Slice bread"), Segment(10, 12, "Slicing onion"), Segment(12, 13, "Bring a pan")],
        "b": [Segment(0, 5, "Wash hands"), Segment(5, 9, "Get eggs"), Segment(9, 13, "Add salt"), Segment(13, 14, "7")],
    }
    found = keystep_classes(training, count=3)
    assert found.names == ("add", "slice", "wash")  # "add" before "get": as long, and first in the alphabet
    assert found.seconds == {"add": 4, "slice": 12, "wash": 5} and found.dropped_s == 5
    assert found.of("Sliced thinly") == found.of("SLICING ham") == "slice"  # forms that training didn't have
    assert found.of("Get eggs") == found.of("Dance") == found.of("") == ""
    assert found == keystep_classes(dict(reversed(training.items())), count=3)
    assert keystep_classes({"a": [Segment(0, 1, "Peeling")]}).of("Peel carrot") == "peeling"
    with pytest.raises(DatasetError, match="no named step"):
        keystep_classes({"a": [Segment(0, 1, "3")]})


def test_no_step_of_a_judged_take_makes_a_class(release, tmp_path):
    """Steps that only takes kept from training have can't be among the 35: their names are read after the choice."""
    root = shutil.copytree(release, tmp_path / "release", ignore=shutil.ignore_patterns("*.mp4"))
    splits = EgoExo4D(data_root(root, tmp_path / "out")).splits
    judged = {f"uid-{name}" for part in SPLITS[1:] for name in splits[part]}
    for path in (root / "annotations").glob("keystep_*.json"):
        content = json.loads(path.read_text())
        for uid, entry in content["annotations"].items():
            for segment in entry["segments"] if uid in judged else []:
                segment["step_name"] = "Juggle"
        path.write_text(json.dumps(content))
    again = EgoExo4D(data_root(root, tmp_path / "out"))
    assert again.splits == splits and "juggle" not in again.action_names
    assert not again.keysteps(splits["test-unseen"][0]) and again.keysteps(splits["train"][0])


def test_the_subset_is_named_by_what_determines_it_and_leaves_the_release_alone(release, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in release.rglob("*")}
    roots = {
        "as it is": cooking_root(release, tmp_path),
        "again": cooking_root(release, tmp_path),
        "seed": cooking_root(release, tmp_path, CookingConfig(SplitConfig(seed=3))),
        "classes": cooking_root(release, tmp_path, CookingConfig(classes=2)),
        "fewer": cooking_root(release, tmp_path, CookingConfig(without=("iiith_cooking_11_2",))),
    }
    assert len(set(roots.values())) == 4 and roots["as it is"] == roots["again"]
    assert {p: p.stat().st_mtime_ns for p in release.rglob("*")} == before
    assert len(EgoExo4D(roots["classes"]).action_names) == 2
    assert "iiith_cooking_11_2" not in {t.name for t in EgoExo4D(roots["fewer"]).takes}
    card = json.loads((roots["as it is"] / "cooking.json").read_text())
    assert card["left out"]["takes"]["fair_01_1"] == "no folder"
    assert card["splits"]["test-unseen"]["kitchens"] == card["splits"]["val-unseen"]["kitchens"] == 1
    assert card["classes"]["wash"]["keysteps"] == ["Wash tomato", "Washing hands"]
    (roots["as it is"] / "cooking.json").unlink()  # a kill before the end: what is there is finished
    assert cooking_root(release, tmp_path) == roots["as it is"] and (roots["as it is"] / "cooking.json").is_file()
    with pytest.raises(ConfigError, match="without: found 'no_such_take'"):
        cooking_root(release, tmp_path, CookingConfig(without=("no_such_take",)))


# --- what is said before anything is trained


@pytest.fixture(scope="module")
def short_release(tmp_path_factory) -> Path:
    return write_release(tmp_path_factory.mktemp("short") / "release", seconds=3, video=False)


def edit_takes(root: Path, change) -> None:
    path = root / "takes.json"
    path.write_text(json.dumps([change(take) for take in json.loads(path.read_text())]))


def without(*keys: str):
    return lambda take: {key: value for key, value in take.items() if key not in keys}


def remove(root: Path, pattern: str) -> None:
    found = list(root.glob(pattern))
    assert found
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


DAMAGES = {
    "takes.json": (lambda root: remove(root, "takes.json"), "found no takes.json", "part metadata"),
    "half a list": (lambda root: (root / "takes.json").write_text('[{"take_na'), "takes.json", "download it again"),
    "an empty list": (lambda root: (root / "takes.json").write_text("[]"), "no list of takes", "part metadata"),
    "version": (
        lambda root: edit_takes(root, without("parent_task_name", "timesync_start_idx")),
        "takes of another version, without parent_task_name, timesync_start_idx", "--release v2",
    ),
    "no cooking": (
        lambda root: edit_takes(root, lambda take: take | {"parent_task_name": "Health"}), "takes of Health",
        "give the root",
    ),
    "folders": (lambda root: remove(root, "takes/*"), "found no folder for 15 of 15", "take_vrs_noimagestream"),
    "clock": (lambda root: remove(root, "captures/*/timesync.csv"), "no timesync.csv", "parts captures"),
    "trajectories": (lambda root: remove(root, "takes/*/trajectory/closed*"), "no closed_loop", "take_trajectory"),
    "IMU": (lambda root: remove(root, "takes/*/*.parquet"), "no IMU", "take_vrs_noimagestream"),
    "maps": (lambda root: remove(root, "takes/*/trajectory/semidense*"), "without a map", "part take_point_cloud"),
    "keysteps": (lambda root: remove(root, "annotations/keystep*"), "found no keystep files", "part annotations"),
    "others' keysteps": (
        lambda root: [p.write_text('{"annotations": {}}') for p in root.glob("annotations/keystep*")],
        "2 keystep files without any of 14 cooking takes", "part annotations",
    ),
    "too little": (
        lambda root: edit_takes(root, lambda take: take | {"physical_setting_uid": 7}), "in 1 kitchens",
        "download more takes",
    ),
    "cloud cut short": (
        lambda root: [p.write_bytes(p.read_bytes()[:9]) for p in root.glob("takes/*/trajectory/semidense*")],
        "semidense_points.csv.gz", "download it again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_release_that_lacks_something_is_refused_before_anything_is_made(short_release, tmp_path, damage):
    harm, said, advice = DAMAGES[damage]
    root = shutil.copytree(short_release, tmp_path / "release")
    run = Run(tmp_path / "run", replace(SMALL, vision_language="tiny", embed_dim=128), data=root, progress=False)
    harm(root)
    with pytest.raises(EailkitError) as error:
        run.train_stage1()
    one_sentence(error, said, advice, str(root) if "takes: found" not in str(error.value) else "found")
    assert not [p for p in run.dir.rglob("*") if p.is_file()], "nothing trained, nothing prepared"
    shutil.copytree(short_release, root, dirs_exist_ok=True)  # the advice: what was missing is downloaded (again)
    assert run.dataset().is_dir()


def test_vrs_without_a_reader_is_said_beforehand(short_release, tmp_path, monkeypatch):
    root = shutil.copytree(short_release, tmp_path / "release")
    for path in root.glob("takes/*/imu-left.parquet"):
        path.rename(path.with_name("aria01_noimagestreams.vrs"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecordingError) as error:
        data_root(root, tmp_path / "out")
    one_sentence(error, "found the IMU of 14 takes in VRS files", 'pip install "eailkit[aria]"')


def test_a_take_that_lacks_a_part_is_left_out_and_the_rest_serves(short_release, tmp_path):
    root = shutil.copytree(short_release, tmp_path / "release")
    (root / "takes" / "iiith_cooking_10_4" / "imu-left.parquet").unlink()
    found = EgoExo4D(data_root(root, tmp_path / "out"))
    card = json.loads((found.root / "cooking.json").read_text())
    assert card["left out"]["takes"]["iiith_cooking_10_4"] == "no IMU"
    assert "iiith_cooking_10_4" not in {t.name for t in found.takes}


def test_kitchens_named_in_captures_json_alone_are_found(short_release, tmp_path):
    root = shutil.copytree(short_release, tmp_path / "release")
    edit_takes(root, without("physical_setting_uid", "capture"))
    assert EgoExo4D(data_root(root, tmp_path / "a")).splits == EgoExo4D(data_root(short_release, tmp_path / "b")).splits


def test_slip_comes_by_its_file_and_its_absence_is_said_before_hours_of_work(
    short_release, slip_weights, tmp_path, monkeypatch
):
    monkeypatch.delenv("EAILKIT_SLIP", raising=False)
    with pytest.raises(CheckpointError) as error:
        Run(tmp_path / "a", SMALL, data=short_release, progress=False).train_stage1()
    one_sentence(error, "no checkpoint of SLIP", "EAILKIT_SLIP")
    assert not list((tmp_path / "a").glob("cache*"))
    monkeypatch.setenv("EAILKIT_SLIP", str(slip_weights))
    assert Run(tmp_path / "a", SMALL, data=short_release, progress=False).towers.name == "slip_small"
    with pytest.raises(CheckpointError) as error:
        Run(tmp_path / "a", replace(SMALL, embed_dim=512), data=short_release, progress=False).dataset()
    one_sentence(error, "24 numbers a vector; expected 512")
    monkeypatch.setenv("EAILKIT_SLIP", str(tmp_path / "gone.pt"))
    with pytest.raises(CheckpointError) as error:
        Run(tmp_path / "a", SMALL, data=short_release, progress=False).dataset()
    one_sentence(error, "gone.pt")


# --- folders that carry splits of their own


def test_a_folder_with_splits_is_taken_as_it_is(tmp_path):
    root = write_dataset(tmp_path / "kitchens", seconds=3)
    assert data_root(root, tmp_path / "out") == root and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "card, said, advice",
    [
        ({"version": "1", "complete": True}, f"version 1; expected version {SYNTHKITCHEN_VERSION}", "`eailkit synth`"),
        ({"version": SYNTHKITCHEN_VERSION, "complete": False}, "isn't finished", "run the command"),
        ([], "can't be read as a card", "copy it again"),
    ],
)
def test_a_synthkitchen_of_another_version_or_half_made_is_refused(tmp_path, card, said, advice):
    root = write_dataset(tmp_path / "kitchens", seconds=3)
    (root / "synthkitchen.json").write_text(json.dumps(card))
    with pytest.raises(DatasetError) as error:
        data_root(root, tmp_path / "out")
    one_sentence(error, said, advice, "synthkitchen.json")


@pytest.mark.parametrize(
    "pattern, said",
    [("takes/kitchen1_scan", "found no map"), ("annotations/*", "found no keysteps"), ("takes/kitchen1_a", "'train'")],
)
def test_a_folder_with_splits_that_lacks_something_is_refused(tmp_path, pattern, said):
    root = write_dataset(tmp_path / "kitchens", seconds=3)
    remove(root, pattern)
    with pytest.raises(DatasetError) as error:
        data_root(root, tmp_path / "out")
    one_sentence(error, said, str(root))
    with pytest.raises(DatasetError, match="found no such folder"):
        data_root(tmp_path / "nowhere", tmp_path / "out")
    shutil.rmtree(root)
    assert data_root(write_dataset(root, seconds=3), tmp_path / "out") == root


def test_the_fixture_s_kitchens_are_what_the_tests_say():
    assert [e.name for e in entries()][-1] == "iiith_cooking_21_1" and len(entries()) == 14
    assert Entry(10, "iiith_cooking_10", 2, 100).name == "iiith_cooking_10_2"
