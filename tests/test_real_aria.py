"""Real Aria data through the readers and the preprocessing: one walk with MPS output, one raw VRS."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from eailkit.datasets import open_map, open_recording
from eailkit.datasets.aria import read_trajectory, read_vrs, recover_imu
from eailkit.errors import RecordingError
from eailkit.preprocess.imu import gravity_align, orientation, resample, second_windows
from eailkit.preprocess.mapgrid import MapGrid, estimate_grid, free_cells, local_clouds


@pytest.fixture(scope="module")
def walk_folder(real_data):
    folder = real_data / "aria_walk"
    if not folder.is_dir():
        pytest.skip("no aria_walk in EAILKIT_REAL_DATA")
    return folder


@pytest.fixture(scope="module")
def walk(walk_folder):
    return open_recording(walk_folder)


@pytest.fixture(scope="module")
def raw(walk_folder):
    with np.load(walk_folder / "aria_walk_imu_right_1khz.npz") as archive:
        return {k: archive[k] for k in archive.files}


def test_walk_opens_with_imu_trajectory_and_map(walk, raw):
    assert len(walk.imu) == 11289 and walk.imu.rate_hz == pytest.approx(1000, rel=1e-6)
    assert walk.imu.label == "imu-right"
    np.testing.assert_allclose(walk.imu.t_s, raw["t_us"] * 1e-6, atol=1e-9)
    assert len(walk.map) == 99472 and len(walk.map.confident()) == 22081
    assert walk.trajectory.t_s[0] > 149.3026  # the first tenth of a second is of quality 0.5
    assert (np.diff(walk.trajectory.t_s) > 0).all()
    length = np.linalg.norm(np.diff(raw["p_world_device"][::50], axis=0), axis=1).sum()
    assert length == pytest.approx(7.6, abs=0.3)


def test_trajectory_agrees_with_the_resampled_one(walk, raw):
    t = raw["t_us"] * 1e-6
    known = (t > walk.trajectory.t_s[0]) & (t < walk.trajectory.t_s[-1])
    assert np.abs(walk.trajectory.position_at(t[known]) - raw["p_world_device"][known]).max() < 2e-3


def test_head_axes_point_up_and_forward(walk):
    """In head axes gravity pushes up along z, and the wearer walks forward along x."""
    acc = np.median(walk.imu.in_head_frame().acc_mps2, axis=0)
    assert acc[2] > 9.4 and np.hypot(acc[0], acc[1]) < 2.5
    from eailkit.datasets.aria import R_CPF_DEVICE_GEN1, R_HEAD_CPF

    steps = slice(0, len(walk.trajectory.t_s), 20)
    forward_device = R_CPF_DEVICE_GEN1.T @ R_HEAD_CPF.T @ np.array([1.0, 0, 0])
    forward = Rotation.from_quat(walk.trajectory.quat_world_device_xyzw[steps]).apply(forward_device)[:-1, :2]
    velocity = np.diff(walk.trajectory.position_world_m[steps, :2], axis=0)
    walking = np.linalg.norm(velocity, axis=1) / np.diff(walk.trajectory.t_s[steps]) > 0.4
    cosine = (forward * velocity).sum(axis=1) / np.linalg.norm(forward, axis=1) / np.linalg.norm(velocity, axis=1)
    straight = walking & (walk.trajectory.t_s[steps][:-1] < 153.5)  # then the wearer steps sideways past a table
    assert straight.sum() > 50 and np.median(cosine[straight]) > 0.8


@pytest.mark.parametrize("causal", [False, True])
def test_vertical_is_within_a_degree_of_mps_gravity(walk, raw, causal):
    _, quat = orientation(walk.imu, causal=causal)
    up = Rotation.from_quat(quat).inv().apply([0, 0, 1])
    R_world_imu = Rotation.from_quat(raw["q_world_device_xyzw"]) * Rotation.from_quat(
        raw["T_device_imu_right_quat_xyzw"]
    )
    true_up = R_world_imu.inv().apply([0, 0, 1])
    tilt = np.degrees(np.arccos(np.clip((up * true_up).sum(axis=1), -1, 1)))
    print(f"causal={causal}: median {np.median(tilt):.2f} deg, max {tilt.max():.2f} deg")
    assert np.median(tilt) < 1.0


def test_walk_becomes_windows(walk):
    windows, mid_s = second_windows(resample(gravity_align(walk.imu)))
    assert windows.shape == (11, 6, 400)
    assert windows[:, :3].mean(axis=(0, 2)) == pytest.approx([0, 0, 9.81], abs=0.15)
    assert np.isfinite(walk.trajectory.position_at(mid_s)).all()


def test_square_from_the_cloud_covers_the_walk(walk):
    grid = estimate_grid(walk.map)
    xy = walk.trajectory.position_world_m[:, :2]
    assert (grid.label(xy) >= 0).mean() > 0.98
    assert grid.side_m < 10  # a living room, though the cloud has points 2000 m away
    assert grid.floor_z_m == pytest.approx(-1.5, abs=0.1)  # worn standing, the glasses are at z = 0
    points = walk.map.confident().points_world_m
    standing = walk.trajectory.position_world_m[:, 2] > -0.2  # it ends on a sofa
    assert free_cells(points, grid)[grid.cell_of(xy[standing])].mean() > 0.5


def test_local_clouds_of_the_walk_are_thin(walk):
    """Around the path, at the paper's mean area, real cells hold hundreds of points and not 8192."""
    estimated = estimate_grid(walk.map)
    middle = walk.trajectory.position_world_m[:, :2]
    grid = MapGrid((middle.min(axis=0) + middle.max(axis=0)) / 2, 4.5, estimated.floor_z_m)
    clouds = local_clouds(walk.map.confident().points_world_m, grid)
    median = np.median(clouds.count[~clouds.empty])
    print(f"median points of a non-empty cell: {median:.0f}")
    assert 250 < median < 600


def test_recovered_imu_agrees_with_the_published_recovery(walk_folder, raw):
    """Differentiated velocity is noisy; head motion, below 20 Hz, must agree."""
    from scipy.signal import butter, sosfiltfilt

    imu = recover_imu(walk_folder)
    index = np.searchsorted(imu.t_s, raw["t_us"] * 1e-6 - 1e-6)
    ok = index < len(imu)
    low = lambda values: sosfiltfilt(butter(4, 20, fs=1000, output="sos"), values, axis=0)[200:-200]  # noqa: E731
    difference = low(imu.acc_mps2[index[ok]]) - low(raw["acc_device"][ok].astype(float))
    assert np.sqrt((difference**2).mean()) < 0.1
    assert np.sqrt(((imu.gyro_radps[index[ok]] - raw["gyro_device"][ok]) ** 2).mean()) < 2e-3


def test_mps_folder_alone_gives_a_recording(walk_folder, tmp_path):
    (tmp_path / "trajectory").symlink_to(walk_folder / "trajectory")
    recording = open_recording(tmp_path)
    assert "recovered" in recording.imu.label and len(recording.imu) > 11_000
    assert len(open_map(tmp_path)) == 99472
    assert len(read_trajectory(tmp_path / "trajectory" / "closed_loop_trajectory.csv").t_s) > 11_000


@pytest.fixture(scope="module")
def vrs(real_data):
    pytest.importorskip("projectaria_tools", reason="projectaria-tools is not installed")
    found = sorted((real_data / "aria_vrs").glob("*.vrs"))
    if not found:
        pytest.skip("no VRS in EAILKIT_REAL_DATA")
    return found[0]


def test_vrs_is_read_by_label(vrs):
    left, right = open_recording(vrs).imu, open_recording(vrs, imu="imu-right").imu
    assert len(left) == 121 and left.rate_hz == pytest.approx(807.4, abs=0.5)
    assert len(right) == 150 and right.rate_hz == pytest.approx(999.5, abs=1.0)
    for imu in (left, right):  # two sensors, mounted apart, one head
        assert np.linalg.norm(imu.acc_mps2, axis=1).mean() == pytest.approx(9.81, abs=0.15)
        head = imu.in_head_frame().acc_mps2.mean(axis=0)
        assert head[2] > 9.5
    np.testing.assert_allclose(
        left.in_head_frame().acc_mps2.mean(axis=0), right.in_head_frame().acc_mps2.mean(axis=0), atol=0.4
    )
    raw = read_vrs(vrs, rectify=False)
    assert 0.01 < np.abs(raw.acc_mps2 - left.acc_mps2).max() < 0.6  # the factory calibration did something


def test_vrs_with_another_label_or_cut_short_gets_one_sentence(vrs, tmp_path):
    with pytest.raises(RecordingError, match="imu-left, imu-right"):
        open_recording(vrs, imu="imu-chin")
    (tmp_path / "cut.vrs").write_bytes(vrs.read_bytes()[:5000])
    with pytest.raises(RecordingError, match="cut.vrs"):
        open_recording(tmp_path / "cut.vrs")


def test_short_vrs_is_too_short_for_windows(vrs):
    with pytest.raises(RecordingError, match="at least 1 s"):
        gravity_align(open_recording(vrs).imu)
