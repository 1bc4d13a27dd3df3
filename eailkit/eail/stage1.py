"""EAIL's first stage: one second of head motion and one square metre of map in the same space (EAIL section 4.1).

`Stage1` holds the two trained encoders; image and text come from a frozen vision-language model whose features are
computed once (`targets`). After training, `features.embed_dataset` keeps the features that stage 2 reads.

A place is worked at from one side, so motion and map are compared in one frame: the window is turned to where the head
faces, and which way that is on the map enters the feature as an angle. Training knows it; at inference it is a
hypothesis (`inference`), and one pass of the encoder serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.eail.prepared import Prepared, RoomCache
from eailkit.eail.targets import VisionLanguageTargets
from eailkit.encoders import ImuResNet18, PointNet2
from eailkit.encoders.neighbours import Neighbours
from eailkit.errors import DatasetError
from eailkit.losses import LogitScale, Stage1Weights, info_nce, stage1_loss
from eailkit.preprocess.imu import yaw
from eailkit.preprocess.mapgrid import CELLS, SIDE, local_clouds
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity
from eailkit.training import History, fit

JITTER_RAD = 0.15  # training error of the known heading: where a head faces is a mean over a second
SCANS = 3  # of each room that training draws its clouds from, the first being the one that there is
RESCAN_STD_M, THINNED = 0.005, 0.2  # error of their points; share of each group's points that is left out at random
UNDIRECTED = 0.1  # share of training rows whose heading is withheld, so that an unknown mounting is no surprise


@dataclass(frozen=True)
class Stage1Config:
    """What stage 1 is made of.

    Attributes:
        imu_width: channels of ResNet-18's first group (RoNIN, paper: 64).
        points_variant: `PointNet2` variant (paper: PointNet++, taken as "ssg").
        embed_dim: the shared space, that of the vision-language model (SLIP: 512).
        weights: alpha ... gamma of Eq. 1 (0.1, then 1).
        use_vision_language: False keeps gamma's term alone (Table 3, "w/o vision-language").
        one_per_place: at most one window per (take, cell) in a batch: two windows of a place would be each
            other's negatives, though negatives are "other times and locations" (EAIL Fig. 2).
        directed: whether F^M knows where the head faces on the map. False turns every window and every cloud at
            random instead, each alone, so that nothing can tell a direction: what a heading that is never known asks
            for, and what this package did before.
    """

    imu_width: int = 32
    points_variant: str = "quick"
    embed_dim: int = 128
    weights: Stage1Weights = field(default_factory=Stage1Weights)
    use_vision_language: bool = True
    one_per_place: bool = True
    directed: bool = True

    @staticmethod
    def of(profile: Profile, **changes) -> Stage1Config:
        """The configuration that a profile asks for."""
        return Stage1Config(profile.imu_width, profile.points_variant, profile.embed_dim, **changes)

    def to_dict(self) -> dict:
        """Plain values, for a checkpoint's config file."""
        return asdict(self)


class Stage1(nn.Module):
    """IMU encoder E_M, point encoder E_P and the learned temperature (EAIL Fig. 2).

    `imu` and `points` are the two encoders; `motion` makes F^M of what the first one gives.
    """

    forward_methods = ("loss",)

    def __init__(self, config: Stage1Config | None = None):
        super().__init__()
        self.config = config = config or Stage1Config()
        d = config.embed_dim
        self.imu = ImuResNet18(width=config.imu_width, embed_dim=d)
        self.points = PointNet2(variant=config.points_variant, embed_dim=d)
        self.direction = nn.Sequential(nn.Linear(d + 4, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.logit_scale = LogitScale()

    def motion(self, imu: Float[Tensor, "*batch dim"], facing: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        """F^M of what `imu` gives, for a head that faces the angle `facing` on the map, rad; not normalised.

        F^M = z + MLP([z, cos a, sin a, cos 2a, sin 2a]); an angle of NaN, an unknown one, is four zeros.
        """
        if not self.config.directed:
            facing = torch.full_like(facing, float("nan"))
        return imu + self.direction(torch.cat([imu, direction_code(facing).to(imu.dtype)], dim=-1))

    def loss(self, batch: dict) -> dict[str, Tensor]:
        """Eq. 1 on a batch of `Stage1Batches`: total and its terms."""
        imu = self.motion(self.imu(batch["imu"]), batch["facing"])
        points = self.points(batch["points"], batch["neighbours"])
        guided = self.config.use_vision_language
        return stage1_loss(
            batch["image"] if guided else None, batch["text"] if guided else None, imu.float(), points.float(),
            self.logit_scale(), weights=self.config.weights, has_image=batch["has_image"],
            has_text=batch["has_text"], same_text=batch["same_text"], same_place=batch["same_place"],
        )  # fmt: skip


def direction_code(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 4"]:
    """(cos a, sin a, cos 2a, sin 2a) of angles in rad; zeros where one is NaN."""
    code = torch.stack([angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()], dim=-1)
    return torch.nan_to_num(code, nan=0.0)


def facing_frame(windows: Tensor, facing: Tensor) -> Tensor:
    """Gravity-frame windows turned so that x is where the head faces; left alone where that is unknown (NaN)."""
    return yaw(windows, -torch.nan_to_num(facing, nan=0.0))


class Stage1Batches:
    """Draws stage-1 batches: windows of one split with their clouds, image and text features.

    Called with (rng, step). Only seconds with a labelled, non-empty cell take part. Map and facing are turned together
    at random: a turned room is as good a room. Clouds come from several scans of each room, so that a feature tells a
    place and not a draw of its points.

    Args:
        scans: of each room; with one, the clouds are the map's own and none of their points is left out.
    """

    def __init__(
        self,
        prepared: Prepared,
        model: Stage1,
        targets: VisionLanguageTargets | None,
        batch: int,
        *,
        splits: tuple[str, ...] = ("train",),
        scans: int = SCANS,
    ):
        self.config, self.batch, self.targets = model.config, batch, targets
        self.takes = [take for split in splits for take in prepared.by_split(split)]
        rooms = sorted({take.room for take in self.takes})
        clouds = [prepared.rooms[r] for r in rooms]
        self.scans, count = scans, len(clouds) * CELLS
        self.points = torch.empty(scans * count, *np.shape(clouds[0].points)[1:])
        near = []
        for at, (k, room) in enumerate((k, room) for k in range(scans) for room in clouds):
            here = self.points[at * CELLS : (at + 1) * CELLS]
            here[:] = torch.from_numpy(scanned_again(room, k))
            near.append(model.points.neighbours(here))  # room by room: a copy of all clouds would be half a gigabyte
        self.neighbours = Neighbours.cat(near)
        empty = np.concatenate([r.empty for r in clouds])
        take_id, second, place = [], [], []
        for i, take in enumerate(self.takes):
            cell = np.asarray(take.cell, np.int64)
            at = rooms.index(take.room) * CELLS + cell
            good = np.flatnonzero((cell >= 0) & ~empty[np.maximum(at, 0)])
            take_id.append(np.full(len(good), i))
            second.append(good)
            place.append(at[good])
        self.take_id, self.second, self.place = map(np.concatenate, (take_id, second, place))
        if len(self.take_id) < 2:
            raise DatasetError(
                f"dataset: found {len(self.take_id)} labelled seconds in split {' and '.join(splits)}; expected many; "
                "check that the trajectory lies inside the map's square."
            )
        self.windows = [np.asarray(take.windows) for take in self.takes]
        self.facing = [np.asarray(take.facing, np.float32) for take in self.takes]
        self.heading = [np.asarray(take.heading, np.float32) for take in self.takes]

    def __len__(self) -> int:
        return len(self.take_id)

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        rows = rng.permutation(len(self))[: 8 * self.batch]
        if self.config.one_per_place:  # first of each (take, cell)
            key = self.take_id[rows] * 1_000_000 + self.place[rows]
            rows = rows[np.sort(np.unique(key, return_index=True)[1])]
        rows = rows[: self.batch]
        take, second, place = self.take_id[rows], self.second[rows], torch.from_numpy(self.place[rows])
        pick = lambda each: torch.from_numpy(np.stack([each[i][s] for i, s in zip(take, second, strict=True)]))  # noqa: E731
        uniform = lambda: torch.from_numpy(rng.uniform(-np.pi, np.pi, len(rows)).astype(np.float32))  # noqa: E731
        turned = uniform()
        scan = place + torch.from_numpy(rng.integers(self.scans, size=len(rows))) * (len(self.points) // self.scans)
        neighbours = self.neighbours[scan]
        facing, heading = pick(self.facing), pick(self.heading)
        windows = facing_frame(pick(self.windows), facing)
        on_map = facing + heading + turned + torch.from_numpy(rng.normal(0, JITTER_RAD, len(rows)).astype(np.float32))
        withheld = torch.from_numpy(rng.random(len(rows)) < (UNDIRECTED if self.config.directed else 1.0))
        withheld |= on_map.isnan()
        batch = {
            "imu": torch.where(withheld[:, None, None], yaw(windows, uniform()), windows),
            "facing": on_map.masked_fill(withheld, float("nan")),
            "points": turn(self.points[scan], turned),
            "neighbours": thinned(neighbours) if self.scans > 1 else neighbours,
            "same_place": same_place(place),
        }  # fmt: skip
        return batch | self._targets(take, second)

    def _targets(self, take: np.ndarray, second: np.ndarray) -> dict:
        if self.targets is None:
            return dict.fromkeys(("image", "text", "has_image", "has_text", "same_text"))
        names = [self.takes[i].name for i in take]
        image = np.stack([self.targets.image[n][s] for n, s in zip(names, second, strict=True)])
        has_image = np.array([self.targets.has_image[n][s] for n, s in zip(names, second, strict=True)])
        caption = np.array([self.targets.caption_id[n][s] for n, s in zip(names, second, strict=True)])
        text = self.targets.text[np.maximum(caption, 0)] if len(self.targets.text) else np.zeros_like(image)
        return {
            "image": torch.from_numpy(image), "text": torch.from_numpy(text),
            "has_image": torch.from_numpy(has_image), "has_text": torch.from_numpy(caption >= 0),
            "same_text": torch.from_numpy(caption[:, None] == caption[None]),
        }  # fmt: skip


def scanned_again(room: RoomCache, number: int) -> Float[np.ndarray, "cells points 3"]:
    """The local clouds of one of a room's scans, float32; the map's own for 0, and where another has too few points."""
    if not number:
        return np.asarray(room.points, np.float32)
    scan = other_scan(np.asarray(room.scan, float), number)
    local = local_clouds(scan, room.grid, points_per_cell=room.points.shape[1], seed=number)
    return np.where(local.empty[:, None, None], np.asarray(room.points), local.points).astype(np.float32)


def same_place(place: Tensor, *, reach: int = 1) -> Tensor:
    """Which rows lie in one cell or in cells that touch, of one room: their clouds overlap by most of a metre.

    Args:
        place: room number * CELLS + cell, (n,).
        reach: cells apart, of rows and of columns, that still count.

    Returns:
        (n, n) bool.
    """
    cell = place % CELLS
    near = lambda at: (at[:, None] - at[None]).abs() <= reach  # noqa: E731
    return (place[:, None] // CELLS == place[None] // CELLS) & near(cell // SIDE) & near(cell % SIDE)


def other_scan(points_m: Float[np.ndarray, "n 3"], seed: int) -> Float[np.ndarray, "m 3"]:
    """Another scan of the same room: half to twice as many points, each half a centimetre off."""
    rng = np.random.default_rng(seed)
    count = round(len(points_m) * 2 ** rng.uniform(-1, 1))
    twice = np.concatenate([rng.permutation(len(points_m)) for _ in range(2)])[:count]
    return points_m[twice] + rng.normal(0, RESCAN_STD_M, (count, 3))


def thinned(neighbours: Neighbours) -> Neighbours:
    """A random share of each group's members left out: the group's first stands for them, as where a group is small."""
    thin = lambda g: torch.where(torch.rand(g.shape) < THINNED, g[..., :1], g)  # noqa: E731
    return Neighbours(neighbours.centres, tuple(tuple(thin(g) for g in level) for level in neighbours.groups))


def turn(points: Tensor, angle: Tensor) -> Tensor:
    """Clouds (B, N, 3) turned about the vertical through their centres by angles (B,), radians."""
    c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    x, y, z = points.unbind(-1)
    return torch.stack([c * x - s * y, s * x + c * y, z], dim=-1)


def stage1_identity(
    prepared: Prepared, profile: Profile, targets: Identity | None, config: Stage1Config | None = None
) -> Identity:
    """What a stage 1 is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "stage 1", code=("eailkit.eail.stage1",), data=prepared.identity, targets=targets,
        config=config or Stage1Config.of(profile, use_vision_language=targets is not None), batch=profile.stage1_batch,
    )  # fmt: skip


def train_stage1(
    prepared: Prepared,
    profile: Profile,
    out_dir: str | Path,
    *,
    targets: VisionLanguageTargets | None,
    config: Stage1Config | None = None,
    name: str = "stage1",
    progress: bool = True,
) -> tuple[Stage1, History]:
    """Train stage 1 with Eq. 1 and return it in eval mode with its log; resumes what is in out_dir."""
    config = config or Stage1Config.of(profile, use_vision_language=targets is not None)
    torch.manual_seed(profile.stage1.seed)
    model = Stage1(config)
    batches = Stage1Batches(prepared, model, targets, profile.stage1_batch)
    context = stage1_identity(prepared, profile, targets.identity if targets is not None else None, config)
    history = fit(
        model, batches, lambda m, batch: m.loss(batch), profile.stage1,
        out_dir=out_dir, name=name, context=context, progress=progress,
        validate=held_out_contrast(prepared, model, profile.stage1_batch),
    )  # fmt: skip
    return model.eval(), history


VALIDATION_SPLITS = ("val-seen", "val-unseen")
VALIDATION_BATCHES = 8


def held_out_contrast(prepared: Prepared, model: Stage1, batch: int) -> Callable[[Stage1], float] | None:
    """A function that gives Eq. 1's term of IMU and points on takes kept from training, nats; None without such takes.

    The same windows, headings and turns each time, so that steps can be compared.
    """
    if not prepared.held_out:
        return None
    batches = Stage1Batches(prepared, model, None, batch, splits=VALIDATION_SPLITS, scans=1)

    @torch.inference_mode()
    def of(model: Stage1) -> float:
        losses = []
        for k in range(VALIDATION_BATCHES):
            drawn = batches(np.random.default_rng(k), k)
            imu = model.motion(model.imu(drawn["imu"]), drawn["facing"])
            points = model.points(drawn["points"], drawn["neighbours"])
            losses.append(info_nce(imu, points, model.logit_scale(), excluded=drawn["same_place"]))
        return float(torch.stack(losses).mean())

    return of
