"""Handcrafted features: the same however the sensor sits, telling of what moves, blind to a device's offset."""

import numpy as np
import pytest
from fake_dataset import one_sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from eailkit.baselines.handcrafted import feature_names, handcrafted_features
from eailkit.errors import RecordingError

T_S = np.arange(250) / 50.0


def windows_of(seed: int = 0, n: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    windows = rng.normal(size=(n, 6, 250)).cumsum(axis=2) * 0.05
    windows[:, 1] += 9.7
    return (windows + rng.normal(size=windows.shape) * 0.1).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_one_rotation_of_both_sensors_changes_nothing(seed):
    windows = windows_of(seed)
    R = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    turned = np.concatenate([R @ windows[:, :3], R @ windows[:, 3:]], axis=1).astype(np.float64)
    ours, theirs = handcrafted_features(windows.astype(np.float64)), handcrafted_features(turned)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


def test_names_and_columns_agree_and_batches_dont_matter():
    windows = windows_of(n=1100)  # more than two blocks
    features = handcrafted_features(windows)
    assert features.shape == (1100, len(feature_names())) and len(set(feature_names())) == features.shape[1]
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[700:710], handcrafted_features(windows[700:710]), rtol=1e-5, atol=1e-6)


def test_a_walk_is_seen_at_its_step_rate():
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(1, 6, 250)) * 0.05
    walk[0, 1] += 9.81 + 3 * np.sin(2 * np.pi * 1.8 * T_S)
    values = dict(zip(feature_names(), handcrafted_features(walk)[0], strict=True))
    assert values["acc_up_peak_hz"] == pytest.approx(1.8, abs=0.11)
    assert values["acc_up_rhythm_s"] == pytest.approx(1 / 1.8, abs=0.021) and values["acc_up_rhythm"] > 0.7
    assert values["acc_up_log_std"] == pytest.approx(np.log(3 / np.sqrt(2)), abs=0.02)
    bands = {k: v for k, v in values.items() if k.startswith("acc_up_band")}
    assert max(bands, key=bands.get) == "acc_up_band1.6"


def test_a_still_sensor_gives_finite_features_and_its_scale_isnt_kept():
    still = np.zeros((2, 6, 250), np.float32)
    still[0, 2], still[1, 2] = 9.3, 10.0  # two devices of ClassyGlass
    a, b = handcrafted_features(still)
    assert np.isfinite(a).all()
    np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize(
    ("windows", "says"),
    [
        (np.zeros((2, 3, 250), np.float32), "(2, 3, 250)"),
        (np.zeros((2, 6, 100), np.float32), "125"),
        (np.full((2, 6, 250), np.nan, np.float32), "NaN"),
    ],
)
def test_bad_windows_are_named(windows, says):
    with pytest.raises(RecordingError) as error:
        handcrafted_features(windows)
    one_sentence(error, says)
