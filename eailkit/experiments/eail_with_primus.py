"""Both papers joined: PRIMUS's pretrained encoder as EAIL's IMU encoder E_M, a row that neither paper has.

EAIL's encoder sees one second at 400 Hz, PRIMUS's five at 50 Hz: here the five around the second. Everything else of
EAIL stays. Three lines tell what pretraining gives: the encoder from scratch, frozen, and fine-tuned.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.signal import resample_poly
from torch import Tensor, nn

from eailkit.eail.evaluation import Table, verdict
from eailkit.eail.features import embed_dataset
from eailkit.eail.inference import predict_take, stage2_config, train_stage2
from eailkit.eail.prepared import Prepared, TakeCache
from eailkit.eail.stage1 import Stage1, Stage1Batches, Stage1Config, stage1_identity
from eailkit.errors import ConfigError
from eailkit.experiments.eail_run import FULL, Run
from eailkit.experiments.primus_run import PrimusRun
from eailkit.experiments.tables import method_rows
from eailkit.files import save_npy
from eailkit.metrics import METRICS
from eailkit.preprocess.imu import RATE_HZ as EAIL_RATE_HZ
from eailkit.preprocess.windows import LENGTH_S, RATE_HZ
from eailkit.primus.model import Primus
from eailkit.provenance import Identity, code_version, identity, weights_tag
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import id_parts
from eailkit.training import History, fit

USES = ("from scratch", "frozen", "fine-tuned")


class ContextTake(TakeCache):
    """A take whose windows are the five seconds around each second, at 50 Hz: (seconds, 6, 250), gravity frame."""

    @property
    def windows(self) -> Float32[np.ndarray, "seconds 6 250"]:
        """Made on first use and kept beside the one-second windows."""
        path = self.path.with_suffix(f".context.{context_identity().key}.npy")  # in a folder of one preparation
        if not path.is_file():
            save_npy(path, around(np.load(self.path.with_suffix(".windows.npy"), mmap_mode="r")))
        return np.load(path, mmap_mode="r")


def context_identity() -> Identity:
    """What names the longer windows, the preparation that the one-second windows come from apart."""
    return identity("context", code=(around,), length_s=LENGTH_S, rate_hz=RATE_HZ, from_hz=EAIL_RATE_HZ)


def around(windows: Float32[np.ndarray, "seconds 6 400"]) -> Float32[np.ndarray, "seconds 6 250"]:
    """Five seconds around each of a take's consecutive seconds, anti-aliased to 50 Hz; the ends are mirrored."""
    whole = np.concatenate(list(windows), axis=1)  # (6, 400 * seconds)
    slow = resample_poly(whole, 1, round(EAIL_RATE_HZ / RATE_HZ), axis=1, padtype="line")
    side = int(RATE_HZ * (LENGTH_S - 1) / 2)
    padded = np.pad(slow, ((0, 0), (side, side)), mode="reflect" if slow.shape[1] > side else "edge")
    length, step = int(LENGTH_S * RATE_HZ), int(RATE_HZ)
    return np.stack([padded[:, k * step : k * step + length] for k in range(len(windows))]).astype(np.float32)


def with_context(prepared: Prepared) -> Prepared:
    """The same dataset with five-second windows."""
    takes = [ContextTake(t.path, t.name, t.room, t.participant, t.split, t.seconds, t.start_s) for t in prepared.takes]
    made = prepared.identity.also(context=context_identity())
    return replace(prepared, takes=takes, data_hash=prepared.data_hash + "-context", identity=made)


class PrimusImu(nn.Module):
    """E_M made of a PRIMUS encoder, its multimodal head and one linear layer into EAIL's space.

    Shape:
        (B, 6, 250) -> (B, embed_dim).
    """

    def __init__(self, primus: Primus, embed_dim: int, *, frozen: bool):
        super().__init__()
        self.encoder, self.frozen = copy.deepcopy(primus.encoder), frozen
        self.encoder.requires_grad_(not frozen)
        self.out = nn.Linear(self.encoder.multimodal_head.out_features, embed_dim)

    def train(self, mode: bool = True) -> PrimusImu:
        """A frozen encoder stays in eval mode, so that its batch statistics don't move."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, imu: Float[Tensor, "batch 6 length"]) -> Float[Tensor, "batch dim"]:
        """Features before normalisation."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.encoder.multimodal(self.encoder(imu))
        return self.out(features)


def joined_stage1(run: Run, prepared: Prepared, primus: Primus, use: str, *, name: str = "") -> tuple[Stage1, History]:
    """EAIL's stage 1 with a PRIMUS encoder, trained as the profile trains stage 1; resumes.

    Args:
        prepared: `with_context` of the run's.
        primus: pretrained, or of random weights for "from scratch".
        use: one of `USES`.

    Raises:
        ConfigError: another use.
    """
    if use not in USES:
        raise ConfigError(f"joined: found use '{use}'; expected one of {', '.join(USES)}; choose one of these.")
    profile = run.profile
    config = Stage1Config.of(profile, use_vision_language=True)
    torch.manual_seed(profile.stage1.seed)
    model = Stage1(config)
    model.imu = PrimusImu(primus, config.embed_dim, frozen=use == "frozen")
    batches = Stage1Batches(prepared, model, run.vision_language_targets, profile.stage1_batch)
    made = stage1_identity(prepared, profile, run.vision_language_targets.identity, config).also(
        use=use,
        encoder=weights_tag(primus.encoder),
        encoder_config=primus.config,
        code_of_joining=code_version(PrimusImu),
    )
    history = fit(
        model, batches, lambda m, batch: m.loss(batch), profile.stage1, out_dir=run.weights_dir,
        name=name or f"joined-{use.replace(' ', '_')}", context=made,
        progress=run.progress,
    )  # fmt: skip
    return model.eval(), history


def line_name(label: str, use: str) -> str:
    """How tables call EAIL with an encoder in one of its uses."""
    return f"EAIL, {label}, {use}"


def add_joined(run: Run, table: Table, primus: Primus, use: str, *, label: str) -> History:
    """Train both stages with the encoder and add its line to a table of methods.

    Args:
        label: of the encoder, "PRIMUS, our encoder".

    Returns:
        Stage 1's log with the minutes of both.
    """
    prepared = with_context(run.prepared)
    name = f"joined-{label}-{use}".replace(" ", "_").replace(",", "")
    stage1, first = joined_stage1(run, prepared, primus, use, name=name)
    features = embed_dataset(
        stage1, prepared, run.dir / f"features-{run.profile.name}", views=run.profile.views, progress=run.progress
    )
    stage2, second = train_stage2(
        prepared, features, run.profile, run.weights_dir, name=f"{name}-stage2",
        config=stage2_config(run.profile, len(prepared.action_names)), train=run.profile.stage2, progress=run.progress,
    )  # fmt: skip
    table.add(
        line_name(label, use),
        lambda take: predict_take(stage2, prepared, features, take, profile=run.profile),
    )
    first.minutes += second.minutes
    return first


def joined_table(
    run: Run, encoders: dict[str, tuple[Primus, Primus]], *, splits: tuple[str, ...] = ("test-seen", "test-unseen")
) -> tuple[Table, float]:
    """EAIL as it is beside EAIL with PRIMUS's encoder in its three uses.

    Args:
        encoders: label -> (pretrained, of random weights).

    Returns:
        The table, and the minutes of all training.
    """
    stage1, _ = run.train_stage1()
    stage2, _ = run.train_stage2(stage1)
    table, minutes = Table(run.prepared, splits), 0.0
    features = run.features(stage1)
    table.add(FULL, lambda take: predict_take(stage2, run.prepared, features, take, profile=run.profile))
    for label, (pretrained, untrained) in encoders.items():
        for use in USES:
            primus = untrained if use == "from scratch" else pretrained
            minutes += add_joined(run, table, primus, use, label=label).minutes
    return table, minutes


def record_joined(
    out: str | Path,
    profile: str,
    seed: int = 0,
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce joined",
) -> Path:
    """Pretrain PRIMUS (or find it), train EAIL with it in three ways, and write table `joined_<profile>`.

    Args:
        out: folder of EAIL's run; PRIMUS's lies in `primus` there, at bench whatever EAIL's profile.
    """
    run = Run(out, profile, seed=seed)
    primus = PrimusRun(Path(out) / "primus", "bench", kitchens=run.dataset(), seed=seed)
    encoders = {
        "PRIMUS": (primus.pretrained("PRIMUS", "paper"), primus.untrained("paper")),
        "PRIMUS, our encoder": (primus.pretrained("PRIMUS", "ours"), primus.untrained("ours")),
    }
    table, minutes = joined_table(run, encoders)
    common = {
        "command": command, "commit": git_commit(), "data_hash": run.prepared.data_hash, "seeds": (seed,),
        "minutes": round(minutes, 2), "device": device_name(),
    }  # fmt: skip
    rows = with_differences(method_rows(table, common), table, list(encoders))
    return append_rows(f"joined_{profile}", rows, results_dir=results_dir)


def with_differences(rows: list[LedgerRow], table: Table, labels: list[str]) -> list[LedgerRow]:
    """Each row with its paired differences: against EAIL as it is, and against the same encoder from scratch.

    A difference is the text of its interval over rooms and people, percent points, and the verdict it allows.
    """
    lines = {line_name(label, use): line_name(label, USES[0]) for label in labels for use in USES}
    for row in rows:
        split, method = id_parts(row.id)
        if method not in lines:
            continue
        others = {"EAIL as it is": FULL} | ({"from scratch": lines[method]} if method != lines[method] else {})
        found = {n: {m: table.difference(method, other, split, m) for m in METRICS} for n, other in others.items()}
        row.config["against"] = {
            name: {metric: {"points": str(gain), "verdict": verdict(gain)} for metric, gain in gains.items()}
            for name, gains in found.items()
        }
    return rows
