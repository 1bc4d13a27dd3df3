"""A dataset that somebody has, checked before anything is trained: SynthKitchen's folder, or an Ego-Exo4D release.

A folder that carries splits is taken as it is; a release becomes EAIL's cooking subset (`datasets.cooking`). Whatever
is missing is said in one sentence, and what that sentence advises is enough.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from eailkit.datasets.cooking import CookingConfig, cooking_root
from eailkit.datasets.egoexo4d import EgoExo4D
from eailkit.eail.prepared import Prepared
from eailkit.errors import DatasetError
from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION

FRAME_PX = 224  # what ViT-B sees; a release's videos are 448 or 1404 pixels wide, four or forty times the bytes
_CARD = "synthkitchen.json"


def data_root(data: str | Path, out_dir: str | Path, config: CookingConfig | None = None) -> Path:
    """The dataset root that a run on `data` reads.

    Args:
        data: root of SynthKitchen or of an Ego-Exo4D download; never written to.
        out_dir: folder of the run, where a release's cooking subset is laid.
        config: of that subset.

    Raises:
        DatasetError, RecordingError: no takes, takes of another version, no maps, no keysteps, no cooking, or another
            part that is missing.
    """
    root = Path(data).expanduser()
    if not root.is_dir():
        raise DatasetError(
            f"{root}: found no such folder; expected the root of an Ego-Exo4D download or of SynthKitchen; check the "
            "path."
        )
    if not carries_splits(root):
        return cooking_root(root, out_dir, config)
    _check_split_root(root)
    return root


def carries_splits(root: Path) -> bool:
    """Whether a folder is SynthKitchen's, or one that somebody split in its way (splits.json at the root)."""
    return (root / _CARD).is_file() or (root / "splits.json").is_file()


def training_seconds(prepared: Prepared) -> int:
    """Seconds of the training takes that have a place: the windows of one epoch."""
    return int(sum((np.asarray(take.cell) >= 0).sum() for take in prepared.by_split("train")))


def _check_split_root(root: Path) -> None:
    _check_card(root)
    dataset = EgoExo4D(root)
    train = [take for take in dataset.takes if take.split == "train"]
    if not train:
        raise DatasetError(
            f"{root / 'splits.json'}: found no take of split 'train' whose folder is there; expected some; make the "
            "dataset again with `eailkit synth`."
        )
    if not any(dataset.map_take(take.name) for take in train):
        raise DatasetError(
            f"{root}: found no map of any of {len(train)} training takes; expected the scans' "
            "trajectory/semidense_points.csv.gz; copy the scans too, or make the dataset again with `eailkit synth`."
        )
    if not any(dataset.keysteps(take.name) for take in train):
        raise DatasetError(
            f"{root / 'annotations'}: found no keysteps of any of {len(train)} training takes; expected "
            "keystep_train.json; copy annotations/ too, or make the dataset again with `eailkit synth`."
        )


def _check_card(root: Path) -> None:
    path = root / _CARD
    if not path.is_file():
        return
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        version, complete = card.get("version"), card.get("complete")
    except (OSError, ValueError, AttributeError):
        raise DatasetError(f"{path}: can't be read as a card; expected SynthKitchen's; copy it again.") from None
    if str(version) != SYNTHKITCHEN_VERSION:
        raise DatasetError(
            f"{path}: found takes of SynthKitchen version {version}; expected version {SYNTHKITCHEN_VERSION}, since "
            "results of two versions don't compare; make the dataset again with `eailkit synth`."
        )
    if complete is False:
        raise DatasetError(
            f"{path}: found a dataset that isn't finished; expected all its takes; run the command that made it again."
        )
