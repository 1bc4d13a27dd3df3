"""What was chosen on validation takes, and what else was tried: widths, rooms and steps of EAIL's trainings.

Each variant trains anew, with one thing changed; what is compared is the loss on val-seen and val-unseen takes, which
no weight was fitted to. Nothing here reads a test split. Each learning curve stands in its row, so that one sees
whether a training had ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eailkit.eail.prepared import Prepared
from eailkit.experiments.eail_run import Run
from eailkit.profiles import Profile, get_profile
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import id_parts, row_id
from eailkit.training import History

CHOSEN = "as chosen"
VALIDATION = "validation loss (nats)"


@dataclass(frozen=True)
class Variant:
    """One thing changed.

    Attributes:
        name: what is other than chosen.
        changes: factors of the profile's widths, by field.
        rooms: share of the training rooms that is trained on.
        stages: of "stage 1", "stage 2" and "velocity net", those that it changes; stage 2 follows stage 1.
    """

    name: str
    changes: dict[str, float] = field(default_factory=dict)
    rooms: float = 1.0
    stages: tuple[str, ...] = ("stage 1", "stage 2", "velocity net")

    def profile(self, chosen: Profile) -> Profile:
        """The profile with its widths changed."""
        return replace(chosen, **{k: round(getattr(chosen, k) * factor) for k, factor in self.changes.items()})


VARIANTS = (
    Variant(CHOSEN),
    Variant("half of the training rooms", rooms=0.5),
    Variant("an IMU encoder of half the width", {"imu_width": 0.5}),
    Variant("convolutions of half the width", {"conv_channels": 0.5}, stages=("stage 2",)),
    Variant("convolutions of twice the width", {"conv_channels": 2.0}, stages=("stage 2",)),
)


def in_fewer_rooms(prepared: Prepared, share: float) -> Prepared:
    """The dataset with the training takes of the first so-many rooms alone; the other splits are as they were."""
    rooms = sorted({t.room for t in prepared.by_split("train")})
    kept = set(rooms[: max(1, round(share * len(rooms)))])
    takes = [t for t in prepared.takes if t.split != "train" or t.room in kept]
    return replace(prepared, takes=takes, identity=prepared.identity.also(training_rooms=len(kept)))


def record_choices(
    out: str | Path,
    profile: str,
    seeds: Sequence[int] = (),
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce choices",
    variants: Sequence[Variant] = VARIANTS,
) -> Path:
    """Train every variant and write table `choices_<profile>`: a row a variant and trained part.

    Args:
        out: folder of EAIL's run; the chosen variant's parts are those of `localization` there.
        seeds: the first of them is trained.
        variants: the first one is the chosen.

    Returns:
        the table's path.
    """
    seed, chosen = (tuple(seeds) or get_profile(profile).seeds)[0], get_profile(profile)
    rows, whole = [], None
    for variant in variants:
        run = Run(out, variant.profile(chosen), seed=seed)
        run.prepared = whole = whole or run.prepared
        if variant.rooms < 1:
            run.prepared = in_fewer_rooms(whole, variant.rooms)
        found = _train(run, variant.stages)
        common = {
            "command": command, "commit": git_commit(), "data_hash": whole.data_hash, "seeds": (seed,),
            "device": device_name(),
        }  # fmt: skip
        for stage in variant.stages:
            parameters, history = found[stage]
            if history.best_step is None:  # a profile that doesn't validate it
                continue
            rows.append(_row(variant, run, stage, parameters, history, common))
            print(f"{rows[-1].id}: {rows[-1].mean[VALIDATION]:.3f} nats", flush=True)
    return append_rows(f"choices_{profile}", rows, results_dir=results_dir)


def _train(run: Run, stages: Sequence[str]) -> dict[str, tuple[int, History]]:
    """Parameters and history of each part, by its name; stage 2 needs a stage 1, whichever is asked for."""
    found = {}
    if "velocity net" in stages:
        net = run.train_velocity()
        found["velocity net"] = _count(net), run.histories["velocity"]
    stage1, first = run.train_stage1()
    found["stage 1"] = _count(stage1), first
    if "stage 2" in stages:
        stage2, second = run.train_stage2(stage1)
        found["stage 2"] = _count(stage2), second
    return found


def _count(model) -> int:
    return sum(p.numel() for p in model.parameters())


def _row(variant: Variant, run: Run, stage: str, parameters: int, history: History, common: dict) -> LedgerRow:
    curve = {str(step): round(float(value), 4) for step, value in history.validation}
    best = history.best_step
    rooms = len({t.room for t in run.prepared.by_split("train")})
    widths = {name: getattr(run.profile, name) for name in ("imu_width", "conv_channels", "embed_dim")}
    mean = {VALIDATION: curve[str(best)], "steps kept": float(best), "parameters": float(parameters)}
    return LedgerRow(
        id=row_id(stage, variant.name), question=f"What does validation say of {stage} with {variant.name}?",
        config={"training rooms": rooms, **widths, "loss after steps": curve, "spread": "none: one seed",
                "takes": len(run.prepared.held_out)},
        mean=mean, spread=dict.fromkeys(mean, 0.0), minutes=round(history.minutes, 2), **common,
    )  # fmt: skip


def told(rows: Sequence[dict]) -> list[str]:
    """Sentences for a card: each part as chosen, whether its curve had ended, each variant and whether it is better."""
    lines, by_part = [], {}
    for row in rows:
        part, name = id_parts(row["id"])
        by_part.setdefault(part, {})[name] = row
    for part, variants in by_part.items():
        chosen = variants.pop(CHOSEN)
        curve = list(chosen["config"]["loss after steps"].items())
        falling = len(curve) > 1 and curve[-1][1] < curve[-2][1]
        ended = f"still falling at its end, step {curve[-1][0]}" if falling else "no longer falling at its end"
        others = ", ".join(f"{name} {_beside(row, chosen)}" for name, row in variants.items())
        lines.append(
            f"{part}: {chosen['mean'][VALIDATION]:.3f} nats on {chosen['config']['takes']} validation takes, {ended}"
            + (f"; tried: {others}" if others else "")
        )
    return lines


def _beside(row: dict, chosen: dict) -> str:
    loss, size = row["mean"][VALIDATION], row["mean"]["parameters"] / chosen["mean"]["parameters"]
    if loss >= chosen["mean"][VALIDATION]:
        return f"{loss:.3f}"
    budget = f" with {size:.1f} times the parameters: the course's time budget chose" if size > 1 else ""
    return f"{loss:.3f} (better{budget})"
