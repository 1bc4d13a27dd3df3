"""Which walks ship, and what stands beside one: the rule on small cases, and the lines on an untrained localizer."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.first_picture import BEFORE_S, median_second
from benchmarks.ship import SPLITS, lower_median
from eailkit.datasets import EgoExo4D
from eailkit.eail.inference import stage2_config
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.tracker import TrackerConfig
from eailkit.eail.velocity import VelocityNet
from eailkit.experiments.one_walk import ALONE, BEST, CONSTANT, LOCALIZED, OTHER, choice, localized_walk
from eailkit.files import DATA_SAMPLES
from eailkit.localize import Localizer
from eailkit.profiles import get_profile


def test_the_lower_median_is_no_eyes_choice():
    assert lower_median({"a": 9.0, "b": 1.0, "c": 5.0}) == ("c", 2)
    assert lower_median({"a": 9.0, "b": 1.0, "c": 5.0, "d": 7.0}) == ("c", 2), "of an even number the lower one"
    assert lower_median({"d": 1.0, "a": 1.0, "c": 1.0, "b": 1.0}) == ("b", 2), "names break ties"


def test_the_pictures_second_is_the_median_of_those_with_a_minute_before_them():
    error = np.full(BEFORE_S + 5, 0.01)
    error[BEFORE_S:] = [3.0, np.nan, 1.0, 2.0, 4.0]
    assert median_second(error) == BEFORE_S + 3


def test_what_ships_says_how_it_was_chosen():
    assert set(choice()) == set(SPLITS)
    takes = {t.split for t in EgoExo4D(DATA_SAMPLES / "kitchens").takes if t.task != "scan"}
    assert takes == set(SPLITS)


@pytest.fixture(scope="module")
def walk():
    profile = get_profile("smoke")
    stages = Stage1(Stage1Config.of(profile)), SpatioTemporalReasoner(stage2_config(profile, 3))
    settings = {"points_per_cell": 64, "sequence_s": 10}
    localizer = Localizer(*stages, VelocityNet(8), TrackerConfig(headings=12), ["a", "b", "c"], settings)
    kitchens = EgoExo4D(DATA_SAMPLES / "kitchens")
    name = next(t.name for t in kitchens.takes if t.split == "test-unseen")
    recording = kitchens.recording(name)
    short = recording.imu.crop(recording.imu.t_s[0], recording.imu.t_s[0] + 21.0)
    return localized_walk(localizer, type(recording)(**{**vars(recording), "imu": short}), short.crop(
        short.t_s[0] + 2, short.t_s[0] + 14
    ))  # fmt: skip


def test_a_walk_stands_beside_lines_that_know_less_and_more(walk):
    n = len(walk.track.time_s)
    assert all(len(e) == n for e in walk.error_m.values()) and set(walk.error_m) == set(walk.success)
    assert {LOCALIZED, ALONE, CONSTANT, OTHER, "any free cell", "any cell"} == set(walk.success)
    assert ALONE not in walk.knowing_less and set(walk.told) == {BEST}
    assert walk.told[BEST] >= walk.success[CONSTANT], "no constant answer has more than the best one"
    assert all(maps.shape == (n, 400) for maps in walk.maps.values()), "a shorter walk's maps repeat"
    error = np.linalg.norm(walk.track.position_m - walk.truth, axis=1)
    assert walk.success[LOCALIZED] == pytest.approx(100 * np.mean(error[np.isfinite(error)] < 0.4))
