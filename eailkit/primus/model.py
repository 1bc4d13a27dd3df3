"""PRIMUS (ICASSP 2025): pretraining of an IMU encoder with self-supervision, other modalities and neighbours.

`Primus` is an encoder with what Eq. 5 needs around it; `pretrain` trains any configuration of `config.METHODS`, `save`
and `load` keep the encoder with its card.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors import safe_open
from torch import Tensor, nn

from eailkit.encoders.stacked_rnn import load_public
from eailkit.errors import CheckpointError, ConfigError
from eailkit.preprocess.windows import RATE_HZ
from eailkit.primus.batches import Batches
from eailkit.primus.config import ENCODERS, METHODS, PrimusConfig
from eailkit.primus.losses import (
    FeatureQueue,
    PrimusWeights,
    Temperature,
    i2t_loss,
    i2v_loss,
    nn_loss,
    nt_xent,
    primus_loss,
    ss_loss,
)
from eailkit.primus.triplets import Triplets
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, fit
from eailkit.weights import load_weights, save_weights


class Primus(nn.Module):
    """An encoder with both heads, two temperatures and the queue.

    Shape:
        embed: (B, 6, 250) -> (B, d), d the width of the towers' features.

    Attributes:
        made: what names its weights, where a run knows.
    """

    forward_methods = ("loss",)
    made: Identity | None = None

    def __init__(self, config: PrimusConfig | None = None, *, feature_dim: int = 512):
        super().__init__()
        self.config = config = config or PrimusConfig()
        make, options = ENCODERS[config.encoder]
        self.encoder = make(options(**{"multimodal_dim": feature_dim, **config.encoder_options}))
        self.tau_s, self.tau_m = Temperature(), Temperature()
        width = self.encoder.config.embed_dim
        if "nn" in config.terms:
            kinds = {"imu": width} if config.key == "imu" else {"imu": width, "video": feature_dim, "text": feature_dim}
            self.queue = FeatureQueue(kinds, config.queue)
        if "multitask" in config.terms:
            hidden = getattr(self.encoder, "hidden_dim", width)
            self.tasks = nn.ModuleList(
                nn.Sequential(nn.Linear(hidden, 256), nn.ReLU(), nn.Linear(256, 1)) for _ in config.multitask
            )

    def loss(self, batch: dict) -> dict[str, Tensor]:
        """Eq. 5 (or a baseline's objective) on a batch of `Batches`: the terms and "total"."""
        config = self.config
        if "multitask" in config.terms:
            return self._multitask(batch)
        views = {name: batch[name] for name in ("imu", "view1", "view2") if name in batch}
        hidden = dict(zip(views, self.encoder(torch.cat(list(views.values()))).chunk(len(views)), strict=True))
        if "simclr" in config.terms:
            return {"total": nt_xent(*self._views(hidden))}
        equal = batch["equal"] if config.mask_equal else None
        terms: dict[str, Tensor] = {}
        if "ss" in config.terms:
            one, two = self._views(hidden)
            terms["ss"] = ss_loss(one, two, self.tau_s(), equal=equal)
        if "mm" in config.terms:
            terms["mm"] = self._multimodal(self.encoder.multimodal(hidden["imu"]), batch, equal)
        if "nn" in config.terms:
            terms["nn"] = self._neighbours(hidden["imu"], batch)
        return primus_loss(terms, config.weights)

    def _views(self, hidden: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """f_s of both views; where one isn't augmented (the release), the window itself is it."""
        return self.encoder.ssl(hidden.get("view1", hidden.get("imu"))), self.encoder.ssl(hidden["view2"])

    def _multimodal(self, imu: Tensor, batch: dict, equal: Tensor | None) -> Tensor:
        """L_MM, Eq. 1 + Eq. 2."""
        scale, total = self.tau_m(), imu.sum() * 0.0
        if "video" in self.config.modalities:
            total = total + i2v_loss(imu, batch["video"], scale, equal=equal, has_video=batch["has_video"])
        if "text" in self.config.modalities:
            total = total + i2t_loss(imu, batch["text"], scale, equal=equal, has_text=batch["has_text"])
        return total

    def _neighbours(self, hidden: Tensor, batch: dict) -> Tensor:
        """L_NN, Eq. 3 and 4: read the queue, then write this batch into it (in training only)."""
        config, queue = self.config, self.queue
        whole = batch["has_video"] & batch["has_text"] | (config.key == "imu")
        imu_s, imu_m = self.encoder.ssl(hidden), self.encoder.multimodal(hidden)
        stored = {"imu": imu_s, "video": batch["video"], "text": batch["text"]}
        near = queue.near(batch["origin"], round(config.apart_s * RATE_HZ))
        free = ~near & queue.valid if config.count_valid else ~near
        asks = whole & free.any(dim=1)
        total = (imu_s.sum() + imu_m.sum()) * 0.0
        if asks.any():
            key = stored[config.key][asks].detach().float()
            found = queue.neighbours(key, config.key, count_valid=config.count_valid, excluded=near[asks])
            total = total + nn_loss(imu_s[asks], imu_m[asks], found, self.tau_s(), self.tau_m())
        if self.training and whole.any():
            queue.add(origin=batch["origin"][whole], **{name: stored[name][whole] for name in queue.names})
        return total

    def _multitask(self, batch: dict) -> dict[str, Tensor]:
        """MultitaskSSL (Saeed et al. 2019): was this done to the window? Eight binary tasks, their losses summed."""
        parts = [len(x) for x in batch["task_windows"]]
        hidden = self.encoder(torch.cat(batch["task_windows"])).split(parts)
        total = sum(
            nn.functional.binary_cross_entropy_with_logits(head(h)[:, 0].float(), done)
            for head, h, done in zip(self.tasks, hidden, batch["task_done"], strict=True)
        )
        return {"total": total}

    @torch.inference_mode()
    def embed(
        self, windows: Float32[np.ndarray, "n 6 250"], *, at: str = "multimodal", batch: int = 512
    ) -> Float[np.ndarray, "n d"]:
        """Features of windows, float32; the last batch may be smaller and is never dropped.

        Args:
            at: "multimodal" (after f_m, what PRIMUS probes), "ssl" (after f_s) or "encoder" (before the heads).
        """
        self.eval()
        heads = {"multimodal": self.encoder.multimodal, "ssl": self.encoder.ssl, "encoder": lambda h: h}
        if at not in heads:
            raise ConfigError(f"embed: found at='{at}'; expected one of {', '.join(heads)}; choose one of these.")
        parts = [
            heads[at](self.encoder(torch.from_numpy(np.ascontiguousarray(windows[i : i + batch], np.float32))))
            for i in range(0, len(windows), batch)
        ]
        return torch.cat(parts).float().numpy() if parts else np.zeros((0, 0), np.float32)


def pretrain(
    triplets: Triplets,
    config: PrimusConfig,
    train: TrainConfig,
    *,
    batch: int = 256,
    out_dir: str | Path | None = None,
    name: str = "primus",
    progress: bool = True,
) -> tuple[Primus, History]:
    """Pretrain one method; returned in eval mode with its log. Resumes what is in out_dir.

    The paper: Adam at 2e-4 without a schedule, 15 epochs, batches of 16 a GPU on four; here the loop that everything
    else trains with (AdamW, warm-up, cosine).

    Raises:
        ConfigError: fewer than 16 windows, a modality that a term needs is missing from all of them, or a batch too
            small for the term.
    """
    _check(triplets, config, batch)
    torch.manual_seed(train.seed)
    model = Primus(config, feature_dim=triplets.video.shape[1])
    context = pretraining_identity(triplets, config, batch)
    history = fit(
        model, Batches(triplets, config, batch), lambda m, b: m.loss(b), train, out_dir=out_dir, name=name,
        context=context, progress=progress,
    )  # fmt: skip
    return model.eval(), history


def pretraining_identity(triplets: Triplets, config: PrimusConfig, batch: int) -> Identity:
    """What an encoder is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "PRIMUS encoder", code=("eailkit.primus.model",), config=config, data=triplets.data_hash,
        feature_dim=triplets.video.shape[1], batch=batch,
    )  # fmt: skip


def _check(triplets: Triplets, config: PrimusConfig, batch: int) -> None:
    least = len(config.multitask) if "multitask" in config.terms else 2
    if batch < least:
        raise ConfigError(f"PRIMUS: found a batch of {batch}; expected {least} or more; give a larger one.")
    if len(triplets) < 16:
        raise ConfigError(
            f"PRIMUS: found {len(triplets)} windows to pretrain on; expected at least 16; give longer recordings."
        )
    needed = set(config.modalities) if "mm" in config.terms else set()
    if "nn" in config.terms and config.key != "imu":
        needed |= {"video", "text"}
    for name in sorted(needed):
        if not getattr(triplets, f"has_{name}").any():
            raise ConfigError(
                f"PRIMUS: found no window with {name}; expected some, since {' + '.join(config.terms)} compares with "
                "it; leave that modality out or give recordings that have it."
            )


def save(model: Primus, path: str | Path, *, half: bool = False, **card) -> Path:
    """Write encoder and heads as safetensors with configuration and card in the metadata; the queue stays behind.

    Args:
        half: in float16, for what ships; reading widens.
    """
    whole = asdict(model.encoder.config) | dict(model.config.encoder_options)  # defaults may change, files don't
    config = replace(model.config, encoder_options=whole).to_dict()
    feature_dim = model.encoder.multimodal_head.out_features
    about = {"config": json.dumps(config), "feature_dim": str(feature_dim), "card": json.dumps(card)}
    return save_weights(model.encoder, path, metadata=about, half=half)


def load_released(path: str | Path) -> Primus:
    """The encoder of the public PRIMUS checkpoint, in eval mode: a state dict of torch, or one under "state_dict".

    Its sizes are read off its heads. It is read as tensors alone, never as pickled code.

    Raises:
        CheckpointError: the file is missing, truncated, holds more than tensors, or is another network's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        width = {name: len(w) for k, w in state.items() for name in ("ssl_head", "mmcl_head") if f"{name}.weight" in k}
        options = {"embed_dim": width["ssl_head"], "multimodal_dim": width["mmcl_head"]}
    except Exception as fault:  # whatever torch raises of bytes that are none of its own
        raise CheckpointError(
            f"{path}: can't be read as the public PRIMUS checkpoint ({str(fault).splitlines()[0][:100]}); expected a "
            "state dict with ssl_head and mmcl_head; give that file."
        ) from None
    config = replace(METHODS["PRIMUS, as released"], encoder_options=options)
    model = Primus(replace(config, terms=("ss",)), feature_dim=options["multimodal_dim"])
    load_public(model.encoder, state)
    model.config = config
    return model.eval()


def load(path: str | Path) -> tuple[Primus, dict]:
    """An encoder that `save` wrote, in eval mode, and its card.

    Raises:
        CheckpointError: the file is missing, truncated, or holds something else.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
    except Exception:
        load_weights(nn.Module(), path)  # says what is wrong: missing, truncated, no safetensors
        about = {}
    if "config" not in about:
        raise CheckpointError(f"{path}: found no PRIMUS configuration; expected a file of `eailkit.primus.model.save`.")
    try:
        values = json.loads(about["config"])
        values |= {k: tuple(values[k]) for k in ("terms", "modalities", "multitask")}
        config = PrimusConfig(**values | {"weights": PrimusWeights(**values["weights"])})
        model = Primus(replace(config, terms=("ss",)), feature_dim=int(about["feature_dim"]))
        card = json.loads(about["card"])
    except (ValueError, KeyError, TypeError) as fault:
        raise CheckpointError(
            f"{path}: found a PRIMUS configuration that can't be read ({str(fault)[:120]}); expected one of this "
            "version."
        ) from fault
    load_weights(model.encoder, path)
    model.config = config
    return model.eval(), card
