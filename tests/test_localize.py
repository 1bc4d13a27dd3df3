"""`Localizer` on a shipped kitchen with small random weights: what it writes, says and may not see."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from eailkit.datasets import EgoExo4D
from eailkit.eail.decision import most_mass
from eailkit.eail.sequences import heading_angles
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.eail.tracker import TrackerConfig
from eailkit.eail.velocity import VelocityNet
from eailkit.files import DATA_SAMPLES
from eailkit.localize import Localizer, Track, imu_windows
from eailkit.provenance import weights_tag

ACTIONS = ["stir", "cut", "wash"]
COLUMNS = ["time_s", "x_m", "y_m", "radius_90_m", "probability", "facing_deg", "action"]


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    torch.manual_seed(0)
    stage1 = Stage1(Stage1Config(imu_width=8, embed_dim=32)).eval()
    stage2 = SpatioTemporalReasoner(
        Stage2Config(embed_dim=32, channels=8, blocks="light", actions=len(ACTIONS), place_code=True)
    )
    torch.nn.init.normal_(stage2.location[-1].weight, std=0.5)
    stage2.stage1_tag = weights_tag(stage1)
    settings = {"points_per_cell": 64, "sequence_s": 10}
    return Localizer(stage1, stage2.eval(), VelocityNet(8).eval(), TrackerConfig(headings=12), ACTIONS, settings)


@pytest.fixture(scope="module")
def kitchen(localizer):
    """25.6 s of a shipped take and its room, encoded."""
    data = EgoExo4D(DATA_SAMPLES / "kitchens")
    recording = data.recording(next(t for t in data.takes if t.split == "test-unseen").name)
    start = recording.imu.t_s[0]
    return recording.imu.crop(start + 20.0, start + 45.6), localizer.encode_map(recording.map)


@pytest.fixture(scope="module")
def tracks(localizer, kitchen) -> dict[str, Track]:
    options = {"tracked": {}, "alone": {"tracker": False}, "live": {"causal": True}, "known": {"heading_rad": 1.0}}
    return {name: localizer.localize(*kitchen, **chosen) for name, chosen in options.items()}


@pytest.mark.parametrize("name", ["tracked", "alone", "live", "known"])
def test_a_track_is_a_row_a_second_with_a_region_and_a_probability(tracks, kitchen, name):
    frame, room = tracks[name].to_frame(), kitchen[1]
    assert list(frame.columns) == COLUMNS and len(frame) == 25
    np.testing.assert_allclose(frame.time_s, np.arange(25) + 0.5, atol=2e-3)
    inside = np.abs(frame[["x_m", "y_m"]].to_numpy() - room.grid.centre_xy_m) <= room.grid.side_m / 2
    assert inside.all() and set(frame.action) <= set(ACTIONS)
    assert frame.probability.between(0.0, 1.0).all() and frame.facing_deg.between(-180, 180).all()
    assert frame.radius_90_m.between(0.1, 2 * room.grid.side_m).all()
    sure = frame.probability > 0.9
    assert (frame.radius_90_m[sure] < 0.6).all() and (frame.radius_90_m[frame.probability < 0.85] >= 0.4).all()


def test_with_the_tracker_the_belief_moves_and_without_it_is_eail_s_own_map(localizer, tracks, kitchen):
    alone, tracked = tracks["alone"], tracks["tracked"]
    room = kitchen[1]
    np.testing.assert_allclose(alone.position_m, most_mass(alone.prediction.confidence, room.grid.cell_centres))
    assert alone.prediction.confidence.shape == tracked.prediction.confidence.shape == (25, 400)
    assert alone.prediction.heading.shape == (25, len(heading_angles()))
    assert tracked.prediction.heading.shape == (25, localizer.tracker_config.headings)
    for track in (alone, tracked):
        assert track.prediction.confidence.sum(1) == pytest.approx(np.ones(25), abs=1e-4)
        assert track.prediction.heading.sum(1) == pytest.approx(np.ones(25), abs=1e-4)
    assert np.abs(alone.prediction.confidence - tracked.prediction.confidence).max() > 1e-3
    assert np.array_equal(alone.action, tracked.action)


def test_a_known_heading_is_what_the_track_reports(tracks):
    known = tracks["known"]
    assert (
        np.degrees(known.heading_rad[0]) == pytest.approx(np.degrees(1.0), abs=10) and known.heading_certainty[0] > 0.9
    )
    assert tracks["tracked"].heading_certainty[0] < known.heading_certainty[0]


def test_the_facing_is_the_gravity_frame_s_turned_by_the_heading(tracks, kitchen):
    _, _, ahead = imu_windows(kitchen[0])
    track = tracks["tracked"]
    off = track.facing_rad - ahead - track.heading_rad
    assert np.abs(np.angle(np.exp(1j * off))).max() < 1e-6
    assert (np.abs(track.facing_rad) <= np.pi).all()


def test_what_is_said_of_the_heading_fits_its_certainty(tracks):
    track = tracks["tracked"]

    def say(sure: float, **others) -> str:
        angles, certainty = np.full(25, np.pi / 6), np.full(25, sure)
        return replace(track, heading_rad=angles, heading_certainty=certainty, **others).heading_reading

    words = {0.95: "30 degrees, clear", 0.7: "30 degrees, likely", 0.4: "30 degrees, unsure", 0.1: "not found"}
    for sure, word in words.items():
        assert say(sure) == f"heading of the IMU on the map: {word} ({sure:.2f} of 1)"
    assert "how the sensor sits on the head" in say(0.95, facing_rad=np.full(25, np.nan))


def test_live_says_of_a_second_what_it_says_with_the_rest_to_come(localizer, kitchen, tracks):
    """Orientation and the forward pass see no later sample; stage 2's window of ten seconds does, up to its end."""
    imu, room = kitchen
    part = localizer.localize(imu.crop(imu.t_s[0], imu.t_s[0] + 20.2), room, causal=True)
    whole = tracks["live"]
    assert len(part.time_s) == 20
    np.testing.assert_allclose(
        part.facing_rad - part.heading_rad, (whole.facing_rad - whole.heading_rad)[:20], atol=1e-6
    )
    early = slice(0, 11)  # every window that holds these seconds ends by the twentieth
    np.testing.assert_allclose(part.prediction.confidence[early], whole.prediction.confidence[early], atol=1e-5)
    np.testing.assert_allclose(part.position_m[early], whole.position_m[early], atol=1e-9)
    smooth = localizer.localize(imu.crop(imu.t_s[0], imu.t_s[0] + 20.2), room)
    both = smooth.prediction.confidence[early], tracks["tracked"].prediction.confidence[early]
    assert not np.allclose(*both, rtol=1e-4, atol=0)


def test_a_recording_without_a_mounting_is_localized_and_has_no_facing(localizer, kitchen):
    imu, room = kitchen
    track = localizer.localize(replace(imu, R_head_sensor=None), room)
    assert np.isfinite(track.position_m).all() and np.isnan(track.facing_rad).all()
    assert track.to_frame().facing_deg.isna().all() and np.isfinite(track.heading_rad).all()


def test_three_seconds_are_enough_and_any_order_of_calls_gives_the_same(localizer, kitchen, tracks):
    imu, room = kitchen
    short = localizer.localize(imu.crop(imu.t_s[0], imu.t_s[0] + 3.1), room)
    assert len(short.time_s) == 3 and np.isfinite(short.position_m).all()
    pd.testing.assert_frame_equal(localizer.localize(imu, room).to_frame(), tracks["tracked"].to_frame())


def test_saved_parts_are_read_back_and_localize_alike(localizer, kitchen, tracks, tmp_path):
    read = Localizer.load(localizer.save(tmp_path / "whole"))
    assert read.tracker_config == localizer.tracker_config and read.action_names == ACTIONS
    assert {p.name for p in (tmp_path / "whole").iterdir()} == {
        "config.json", "stage1.safetensors", "stage2.safetensors", "velocity.safetensors"
    }  # fmt: skip
    imu, room = kitchen
    np.testing.assert_allclose(read.localize(imu, room).position_m, tracks["tracked"].position_m, atol=1e-9)
    half = Localizer.load(localizer.save(tmp_path / "half", half=True))
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["tags"]["velocity"] == weights_tag(half.velocity) != weights_tag(localizer.velocity)
