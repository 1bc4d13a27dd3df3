"""NILoc+ of EAIL's Table 1: NILoc's idea (CVPR 2022) on raw IMU, with EAIL's ResNet-18, over many rooms and no map.

NILoc reads the path of a velocity net in one building; EAIL gives it windows of the IMU, its own encoder and many rooms
at once, and says no more. Here an untrained `ImuResNet18` embeds each second and NILoc's transformer reads ten of them;
both train end to end with Eq. 2. It is given all that EAIL is given but the map: seconds turned to where the head
faces, and that direction under a heading. `niloc` holds a smaller relative on stage 1's frozen features, "IMU alone".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.eail.features import QUARTERS, Features, RoomView, turn_xy
from eailkit.eail.prepared import Prepared, RoomCache
from eailkit.eail.sequences import JITTER_RAD, Prediction, SequenceBatches, heading_angles
from eailkit.eail.stage1 import direction_code, facing_frame
from eailkit.encoders import ImuResNet18
from eailkit.errors import ConfigError, DatasetError
from eailkit.losses import trajectory_loss
from eailkit.preprocess.mapgrid import CELLS, estimate_grid
from eailkit.provenance import Identity, identity
from eailkit.recording import PointMap
from eailkit.training import History, TrainConfig, fit

PROTOCOLS = ("inferred", "published")
LAYERS, HEADS, FEED_FORWARD, DROPOUT = 2, 8, 750, 0.2  # NILoc's
VIEWS = 4  # angles of each training room, the first being the map as it lies


class NilocPlus(nn.Module):
    """Ten seconds of raw IMU, and where the head faces on the map in each, to 400 logits a second.

    Args:
        width: multiplier of the ResNet's channels and of the transformer's 512; 1 is the paper's encoder.
        time: T, s. The transformer knows a second's place in it by a learned vector.

    Raises:
        ConfigError: an impossible width.

    Example:
        >>> NilocPlus(width=0.25)(torch.zeros(2, 10, 6, 400), torch.zeros(2, 10)).shape
        torch.Size([2, 10, 400])
    """

    def __init__(self, *, width: float = 1.0, time: int = 10):
        super().__init__()
        if not width > 0:
            raise ConfigError(f"NilocPlus: found width={width}; expected a positive multiplier; the paper's has 1.")
        dim = HEADS * max(1, round(512 * width / HEADS))
        self.seconds = ImuResNet18(max(1, round(64 * width)), dim)
        self.direction = nn.Sequential(nn.Linear(dim + 4, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.place = nn.Parameter(0.02 * torch.randn(time, dim))
        layer = nn.TransformerEncoderLayer(dim, HEADS, FEED_FORWARD, DROPOUT, batch_first=True, norm_first=True)
        self.over_time = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.head = nn.Linear(dim, CELLS)

    def forward(
        self, imu: Float[Tensor, "batch time 6 samples"], angle_rad: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time 400"]:
        """Location logits of each second.

        Args:
            imu: each second turned to where the head faces (`stage1.facing_frame`), raw: m/s² and rad/s.
            angle_rad: where that is on the map, under the true heading or a hypothesis.
        """
        return self.reason(self.seconds(imu.flatten(0, 1)).unflatten(0, imu.shape[:2]), angle_rad)

    def reason(
        self, embedded: Float[Tensor, "batch time dim"], angle_rad: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time 400"]:
        """Location logits of seconds that `seconds` embedded; a direction enters as in EAIL's `Stage1.motion`."""
        told = torch.cat([embedded, direction_code(angle_rad).to(embedded.dtype)], dim=-1)
        return self.head(self.over_time(embedded + self.direction(told) + self.place))


class RawSequences(SequenceBatches):
    """`SequenceBatches` with the IMU itself: the same sequences, views and quarter turns of rooms, called alike.

    The head's direction is the true one on the turned room, off by as much as the nearest hypothesis can be, or for
    "inferred" by any angle, one a sequence. Without a map nothing is known to be empty: no label is left out for that.

    Raises:
        ConfigError: no such protocol.
        DatasetError: no training sequence has a label.
    """

    def __init__(self, prepared: Prepared, *, batch: int, time: int, views: int = VIEWS, protocol: str = "published"):
        self.off_rad = np.pi if checked_protocol(protocol) == "inferred" else JITTER_RAD
        trained_in, rooms = {t.room for t in prepared.by_split("train")}, enumerate(prepared.rooms.items())
        turned = {n: [bare_view(room, i, k) for k in range(views)] for i, (n, room) in rooms if n in trained_in}
        nothing = Features({}, {}, views=turned, identity=identity("no features"))
        super().__init__(prepared, nothing, batch=batch, time=time)
        self.facing = [np.nan_to_num(np.asarray(t.facing, np.float32)) for t in self.takes]
        self.heading = [filled(np.asarray(t.heading, float)) for t in self.takes]

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        windows, facing, angles, cells = [], [], [], []
        for i, s in self.index[rng.integers(len(self.index), size=self.batch)]:
            take, view, quarter = self.takes[i], int(rng.integers(len(self.cell[i]))), int(rng.integers(QUARTERS))
            seconds = slice(s, s + self.time)
            turned = self.views[take.room][view].angle + quarter * np.pi / 2
            windows.append(np.asarray(take.windows[seconds]))
            facing.append(self.facing[i][seconds])
            angles.append(facing[-1] + self.heading[i][seconds] + turned + rng.uniform(-self.off_rad, self.off_rad))
            cells.append(self.cell[i][view, quarter, seconds])
        imu = facing_frame(torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(facing)))
        angle = torch.from_numpy(np.stack(angles).astype(np.float32))
        return {"imu": imu, "angle": angle, "cell": torch.from_numpy(np.stack(cells))}


def checked_protocol(protocol: str) -> str:
    """The protocol.

    Raises:
        ConfigError: there is no such one.
    """
    if protocol not in PROTOCOLS:
        told = ", ".join(PROTOCOLS)
        raise ConfigError(f"protocol: found '{protocol}'; expected one of {told}; choose one of these.")
    return protocol


def bare_view(room: RoomCache, number: int, k: int) -> RoomView:
    """A room as it lies (k = 0) or at a random angle, as labels alone need it: no features, no cell empty.

    Args:
        number: of the room, which draws its angles as `features.embed_dataset` does.
    """
    angle = float(np.random.default_rng((number, k)).uniform(-np.pi, np.pi)) if k else 0.0
    grid = room.grid
    if k:
        points = np.array(room.scan, float)
        points[:, :2] = turn_xy(points[:, :2], angle)
        grid = estimate_grid(PointMap(points, source=room.name))
    return RoomView(angle, grid, np.zeros((QUARTERS, CELLS), bool), np.zeros((QUARTERS, CELLS, 0), np.float32))


def filled(heading_rad: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Headings with the nearest known second's where one is unknown: they drift by degrees a minute."""
    known = np.flatnonzero(np.isfinite(heading_rad))
    if not len(known):
        return np.zeros_like(heading_rad)
    nearest = np.abs(np.arange(len(heading_rad))[:, None] - known).argmin(axis=1)
    return heading_rad[known[nearest]]


def train_niloc_plus(
    prepared: Prepared, train: TrainConfig, out_dir: str | Path | None, *, protocol: str = "published",
    width: float = 1.0, batch: int = 16, time: int = 10, views: int = VIEWS, progress: bool = True,
) -> tuple[NilocPlus, History]:  # fmt: skip
    """Train `NilocPlus` with Eq. 2 on the sequences that stage 2 sees; the weights of its best validation are kept.

    Args:
        protocol: that it will be asked under. "published" trains under true headings and is validated under them;
            "inferred" under random ones, one a sequence, as NILoc turns its input at random, and is validated on the
            mean over the hypotheses.
        batch: sequences a step.
        time: T, s.
        views: angles at which each training room is seen.

    Raises:
        ConfigError: no such protocol, or an impossible width.
        DatasetError: no training sequence has a label.
    """
    torch.manual_seed(train.seed)
    model, takes = NilocPlus(width=width, time=time), prepared.held_out
    history = fit(
        model, RawSequences(prepared, batch=batch, time=time, views=views, protocol=protocol),
        lambda m, rows: {"total": trajectory_loss(m(rows["imu"], rows["angle"]).float(), rows["cell"])},
        train, out_dir=out_dir, name="niloc_plus", progress=progress,
        context=niloc_plus_identity(
            prepared, protocol=protocol, width=width, batch=batch, time=time, views=views
        ),
        validate=(lambda m: _held_out_loss(m, takes, protocol)) if takes else None,
    )  # fmt: skip
    return model.eval(), history


def niloc_plus_identity(
    prepared: Prepared, *, protocol: str = "published", width: float = 1.0, batch: int = 16, time: int = 10,
    views: int = VIEWS,
) -> Identity:  # fmt: skip
    """What a `NilocPlus` is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "NILoc+", code=("eailkit.baselines.niloc_plus",), data=prepared.identity, protocol=protocol, width=width,
        batch=batch, time=time, views=views,
    )  # fmt: skip


def _held_out_loss(model: NilocPlus, takes: list, protocol: str) -> float:
    losses = []
    for take in takes:
        headings = filled(np.asarray(take.heading, float))[:, None]
        if protocol == "inferred":
            headings = np.tile(heading_angles(), (len(take), 1))
        found = under_headings(model, take, headings, stride=len(model.place)).mean(0)
        cell = torch.from_numpy(np.asarray(take.cell, np.int64)[None])
        losses.append(float(trajectory_loss(found.clamp(min=1e-12).log()[None], cell)))
    return float(np.mean(losses))


def predict_niloc_plus(model: NilocPlus, take, protocol: str = "inferred", *, stride: int = 1) -> Prediction:
    """Probability of each cell of the map's square at each second, from the IMU alone; the map isn't asked.

    "published" is told the true heading at the start, as RoNIN's public loader is, and drifts from there: it uses
    ground truth. "inferred" knows none, and without a map nothing tells one heading from another: the mean over the
    twelve hypotheses, p(cell | IMU) = sum_h p(cell | IMU, h) / 12. A net that was trained under true headings may be
    asked so too; one that was trained for it, under random ones, estimates the same.

    Args:
        stride: seconds from one window of T to the next; where windows overlap, probabilities are averaged.

    Raises:
        ConfigError: no such protocol.
        DatasetError: "published" on a take whose true heading is nowhere known.
    """
    headings = heading_angles()
    if checked_protocol(protocol) == "published":
        true = np.asarray(take.heading, float)
        headings = true[np.flatnonzero(np.isfinite(true))[:1]]
        if not len(headings):
            raise DatasetError(
                f"{take.name}: found no second of known heading; expected one for protocol 'published'; use 'inferred'."
            )
    found = under_headings(model, take, np.tile(headings, (len(take), 1)), stride=stride)
    return Prediction(found.mean(0).numpy())


@torch.inference_mode()
def under_headings(
    model: NilocPlus, take, headings_rad: Float[np.ndarray, "n headings"], *, stride: int = 1
) -> Float[Tensor, "headings n 400"]:
    """Probability of each cell at each second under headings of the gravity frame, averaged over windows.

    Windows of T seconds start every `stride` seconds, and one more ends with the take; a take shorter than a window is
    padded with its last second, as in `headings.heading_maps`.
    """
    time, n, device = len(model.place), len(take), model.place.device
    facing = torch.from_numpy(np.nan_to_num(np.asarray(take.facing, np.float32)))
    blocks = zip(torch.from_numpy(np.array(take.windows, np.float32)).split(256), facing.split(256), strict=True)
    embedded = torch.cat([model.seconds(facing_frame(x, a).to(device)) for x, a in blocks])
    angle = facing[:, None] + torch.from_numpy(np.asarray(headings_rad, np.float32))
    rows = torch.arange(max(n, time)).clamp(max=n - 1)  # of a take shorter than T the last second again
    starts = np.unique(np.append(np.arange(0, len(rows) - time + 1, stride), len(rows) - time))
    summed, seen = torch.zeros(angle.shape[1], len(rows), CELLS), torch.zeros(len(rows), 1)
    for first in starts:
        of = rows[first : first + time]
        there = embedded[of].expand(angle.shape[1], -1, -1)
        summed[:, first : first + time] += model.reason(there, angle[of].T.to(device)).float().softmax(-1).cpu()
        seen[first : first + time] += 1
    return (summed / seen)[:, :n]
