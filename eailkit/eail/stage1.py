"""EAIL's first stage: one second of head motion and one square metre of map in the same space (EAIL section 4.1).

`Stage1` holds the two trained encoders; image and text come from a frozen vision-language model whose features are
computed once (`vision_language_targets`). After training, `embed_dataset` keeps the features that stage 2 reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from eailkit.eail.prepared import Prepared
from eailkit.encoders import ImuResNet18, PointNet2
from eailkit.errors import DatasetError
from eailkit.files import save_npy
from eailkit.losses import LogitScale, Stage1Weights, stage1_loss
from eailkit.preprocess.imu import yaw
from eailkit.preprocess.mapgrid import CELLS
from eailkit.profiles import Profile
from eailkit.provenance import Identity, content_digest, identity, weights_tag
from eailkit.training import History, fit
from eailkit.vision_language import VisionLanguage


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
        turn_points: turn each cloud at random about the vertical. The IMU's heading is unknown, so nothing in it
            can tell a room's orientation; the paper doesn't say, and few rooms need it.
    """

    imu_width: int = 32
    points_variant: str = "quick"
    embed_dim: int = 128
    weights: Stage1Weights = field(default_factory=Stage1Weights)
    use_vision_language: bool = True
    one_per_place: bool = True
    turn_points: bool = True

    @staticmethod
    def of(profile: Profile, **changes) -> Stage1Config:
        """The configuration that a profile asks for."""
        return Stage1Config(profile.imu_width, profile.points_variant, profile.embed_dim, **changes)

    def to_dict(self) -> dict:
        """Plain values, for a checkpoint's config file."""
        return asdict(self)


class Stage1(nn.Module):
    """IMU encoder E_M, point encoder E_P and the learned temperature (EAIL Fig. 2)."""

    forward_methods = ("loss",)

    def __init__(self, config: Stage1Config | None = None):
        super().__init__()
        self.config = config = config or Stage1Config()
        self.imu = ImuResNet18(width=config.imu_width, embed_dim=config.embed_dim)
        self.points = PointNet2(variant=config.points_variant, embed_dim=config.embed_dim)
        self.logit_scale = LogitScale()

    def loss(self, batch: dict) -> dict[str, Tensor]:
        """Eq. 1 on a batch of `Stage1Batches`: total and its terms."""
        imu = self.imu(batch["imu"])
        points = self.points(batch["points"], batch["neighbours"])
        guided = self.config.use_vision_language
        return stage1_loss(
            batch["image"] if guided else None, batch["text"] if guided else None, imu.float(), points.float(),
            self.logit_scale(), weights=self.config.weights, has_image=batch["has_image"],
            has_text=batch["has_text"], same_text=batch["same_text"],
        )  # fmt: skip


@dataclass(frozen=True)
class VisionLanguageTargets:
    """Frozen image and text features of every second of every take, unit norm.

    Attributes:
        image: take name -> (n, d) float32; rows without a frame are zero.
        text: unique captions -> (captions, d) float32, and caption_id: take name -> (n,) int, -1 without one.
        identity: of the towers and the data that made them.
    """

    image: dict[str, np.ndarray]
    text: np.ndarray
    caption_id: dict[str, np.ndarray]
    has_image: dict[str, np.ndarray]
    identity: Identity


def targets_identity(prepared: Prepared, towers: Identity, *, split: str = "train") -> Identity:
    """What names the image and text features of a split; nothing is encoded."""
    return identity(
        "vision-language targets", code=(vision_language_targets, "eailkit.vision_language.towers"),
        data=prepared.identity, split=split, towers=towers,
    )  # fmt: skip


def vision_language_targets(
    prepared: Prepared, model: VisionLanguage, out_dir: str | Path, *, split: str = "train"
) -> VisionLanguageTargets:
    """Encode the frames and captions of a split once; features are kept as .npy files.

    Args:
        prepared: the cached dataset.
        model: frozen towers.
        out_dir: each pair of towers and each dataset has a folder of its own in it, so that two never mix.
    """
    made = targets_identity(prepared, model.identity, split=split)
    out = Path(out_dir) / f"{model.name}.{made.key}"
    takes = prepared.by_split(split)
    captions = sorted({c for take in takes for c in take.caption if c})
    index = {c: i for i, c in enumerate(captions)}
    text = model.encode_texts(captions) if captions else np.zeros((0, model.embed_dim), np.float32)
    image, has_image = {}, {}
    for take in tqdm(takes, desc="frames to features", leave=False):
        path = out / f"{take.name}.npy"
        present = np.asarray(take.frame) >= 0
        if path.exists():
            features = np.load(path)
        else:
            features = np.zeros((len(take), model.embed_dim), np.float32)
            if present.any():
                rows = take.frame[present]
                ids = [f"{take.name}/{row}" for row in rows]  # what a features file calls its rows
                features[present] = np.asarray(model.encode_images(prepared.frames(take)[rows], ids=ids))
            save_npy(path, features)
        image[take.name], has_image[take.name] = features, present
    ids = {take.name: np.array([index.get(c, -1) for c in take.caption], np.int64) for take in takes}
    return VisionLanguageTargets(image, np.asarray(text, np.float32), ids, has_image, made)


class Stage1Batches:
    """Draws stage-1 batches: windows of one split with their clouds, image and text features.

    Called with (rng, step). Only seconds with a labelled, non-empty cell take part.
    """

    def __init__(
        self,
        prepared: Prepared,
        model: Stage1,
        targets: VisionLanguageTargets | None,
        batch: int,
        *,
        split: str = "train",
    ):
        self.config, self.batch, self.targets = model.config, batch, targets
        self.takes = prepared.by_split(split)
        rooms = sorted({take.room for take in self.takes})
        clouds = [prepared.rooms[r] for r in rooms]
        self.points = torch.from_numpy(np.concatenate([np.asarray(r.points, np.float32) for r in clouds]))
        self.neighbours = model.points.neighbours(self.points)
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
                f"dataset: found {len(self.take_id)} labelled seconds in split '{split}'; expected many; "
                "check that the trajectory lies inside the map's square."
            )
        self.windows = [np.asarray(take.windows) for take in self.takes]

    def __len__(self) -> int:
        return len(self.take_id)

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        rows = rng.permutation(len(self))[: 8 * self.batch]
        if self.config.one_per_place:  # first of each (take, cell)
            key = self.take_id[rows] * 1_000_000 + self.place[rows]
            rows = rows[np.sort(np.unique(key, return_index=True)[1])]
        rows = rows[: self.batch]
        take, second, place = self.take_id[rows], self.second[rows], torch.from_numpy(self.place[rows])
        windows = torch.from_numpy(np.stack([self.windows[i][s] for i, s in zip(take, second, strict=True)]))
        angle = torch.from_numpy(rng.uniform(-np.pi, np.pi, len(rows)).astype(np.float32))
        points = self.points[place]
        if self.config.turn_points:
            points = turn(points, torch.from_numpy(rng.uniform(-np.pi, np.pi, len(rows)).astype(np.float32)))
        batch = {"imu": yaw(windows, angle), "points": points, "neighbours": self.neighbours[place]}
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
    )  # fmt: skip
    return model.eval(), history


def headings(count: int) -> np.ndarray:
    """The yaws at which features are cached, radians, the first being zero."""
    return np.arange(count) * 2 * np.pi / count


@torch.inference_mode()
def embed_imu(model: Stage1, windows: np.ndarray, angle: float = 0.0, *, batch: int = 512) -> np.ndarray:
    """F^M of one-second windows (n, 6, 400) turned by one yaw: (n, d) float32, unit norm."""
    out = []
    for i in range(0, len(windows), batch):
        block = torch.from_numpy(np.array(windows[i : i + batch], np.float32))
        block = yaw(block, torch.full((len(block),), float(angle)))
        out.append(nn.functional.normalize(model.imu(block).float(), dim=-1))
    return torch.cat(out).numpy() if out else np.zeros((0, model.config.embed_dim), np.float32)


@torch.inference_mode()
def embed_cells(model: Stage1, points: np.ndarray, empty: np.ndarray, *, batch: int = 128) -> np.ndarray:
    """F^P of a room's cells (400, P, 3): (400, d) float32, unit norm, zero where empty."""
    features = np.zeros((len(points), model.config.embed_dim), np.float32)
    rows = np.flatnonzero(~np.asarray(empty))
    for i in range(0, len(rows), batch):
        block = torch.from_numpy(np.ascontiguousarray(points[rows[i : i + batch]], dtype=np.float32))
        features[rows[i : i + batch]] = nn.functional.normalize(model.points(block).float(), dim=-1).numpy()
    return features


@dataclass(frozen=True)
class Features:
    """Frozen stage-1 features: take name -> (yaws, n, d), room -> (400, d).

    Attributes:
        identity: of the weights and the data that made them; of features from elsewhere, of their values.
    """

    takes: dict[str, np.ndarray]
    rooms: dict[str, np.ndarray]
    identity: Identity | None = None

    def __post_init__(self) -> None:
        if self.identity is None:
            values = {n: {k: content_digest(v) for k, v in getattr(self, n).items()} for n in ("takes", "rooms")}
            object.__setattr__(self, "identity", identity("features", **values))

    @property
    def stage1_tag(self) -> str:
        """Tag of the stage 1 that made them, "" for features from elsewhere."""
        return self.identity.parts.get("stage1_tag", "")


def features_identity(stage1_tag: str, prepared: Prepared, yaws: int) -> Identity:
    """What names the features that a stage 1 of that tag makes of a dataset; nothing is computed."""
    return identity(
        "features", code=("eailkit.eail.stage1",), stage1_tag=stage1_tag, data=prepared.identity, yaws=yaws
    )  # fmt: skip


def embed_dataset(
    model: Stage1, prepared: Prepared, out_dir: str | Path, *, yaws: int, progress: bool = True
) -> Features:
    """Cache F^M of every take and F^P of every room, as .npy files in a folder in out_dir named after the weights.

    Training takes are kept at `yaws` headings (stage 2 turns a whole sequence by one of them), the others at the
    first alone: averaging over four headings at inference moved validation success by less than a point.
    """
    made = features_identity(weights_tag(model), prepared, yaws)
    out = Path(out_dir) / made.key
    takes, rooms = {}, {}
    for take in tqdm(prepared.takes, desc="IMU features", disable=not progress, leave=False):
        count = yaws if take.split == "train" else 1
        takes[take.name] = _cached(
            out / f"imu.{take.name}.npy",
            lambda take=take, count=count: np.stack(
                [embed_imu(model, np.asarray(take.windows), a) for a in headings(count)]
            ),
        )
    for name, room in tqdm(prepared.rooms.items(), desc="map features", disable=not progress, leave=False):
        rooms[name] = _cached(out / f"map.{name}.npy", lambda room=room: embed_cells(model, room.points, room.empty))
    return Features(takes, rooms, made)


def _cached(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if path.exists():
        return np.load(path, mmap_mode="r")
    value = make()
    save_npy(path, value)
    return value
