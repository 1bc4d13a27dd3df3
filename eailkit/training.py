"""The one training loop: Lightning Fabric, seeds, progress, checkpoints that resume exactly.

Stage 1, stage 2, the baselines and the towers all train through `fit`. A step's batch and its random numbers
depend on (seed, step) alone, so a run that was killed and resumed gives the same losses as one that wasn't.
Files are written atomically; weights and optimizer state are safetensors, never pickle.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from eailkit.allocator import keep_freed_memory, return_freed_memory
from eailkit.errors import CheckpointError
from eailkit.files import write_atomically
from eailkit.parallel import one_at_a_time
from eailkit.provenance import Identity, identity
from eailkit.weights import load_tensors, load_weights, save_weights


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to train.

    Attributes:
        steps: optimizer steps.
        learning_rate: peak of the schedule (EAIL section 5.1: 1e-3 for both stages).
        weight_decay: AdamW's; the paper doesn't say. It skips biases, norms and temperatures.
        warmup_steps: linear warm-up, then a cosine to zero; the paper doesn't say.
        clip_norm: gradient norm limit; the paper doesn't say, the prototype needed it.
        precision: Fabric's: "32-true", or "bf16-mixed", which means float32 on CPUs that can't (`precision_on`).
        checkpoint_every: steps between checkpoints; 0 writes only the last.
        seed: of weights, batches and dropout.
        validate_every: steps between validations where `fit` is given one; 0 for none. The weights of the best are
            kept. A validation says which weights of a schedule are best; how long the schedule itself should be is
            chosen beforehand, since the last steps of a cosine gain most and a run cut off before them lacks them.
        min_steps: neither validated nor stopped before.
        patience: validations without a better one after which a run ends; 0 for the whole schedule.
        device: Fabric's accelerator: "auto", "cpu", "cuda" or "mps".
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    clip_norm: float = 5.0
    precision: str = "32-true"
    checkpoint_every: int = 200
    seed: int = 0
    validate_every: int = 0
    min_steps: int = 0
    patience: int = 0
    device: str = "auto"


@dataclass
class History:
    """What a run logged: one dict of floats a step, the minutes that it took, and its validations.

    Attributes:
        validation: (steps trained, value), lower is better.
    """

    steps: list[dict[str, float]] = field(default_factory=list)
    minutes: float = 0.0
    device: str = "cpu"
    validation: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best_step(self) -> int | None:
        """Steps after which validation was best (of ties, the first); None without a finite one."""
        finite = [(value, step) for step, value in self.validation if math.isfinite(value)]
        return min(finite)[1] if finite else None

    def column(self, name: str) -> np.ndarray:
        """One logged value over the steps, (steps,); NaN where a step didn't log it."""
        return np.array([row.get(name, math.nan) for row in self.steps])


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Linear warm-up to the peak, then half a cosine to zero at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: matrices and kernels decay; biases, norms and temperatures (fewer than 2 dims) don't."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def seed_step(seed: int, step: int) -> np.random.Generator:
    """Seed torch for this step and return the step's numpy generator, whatever ran before."""
    torch.manual_seed((seed * 1_000_003 + step) % (2**31))
    return np.random.default_rng((seed, step))


@one_at_a_time
def fit(
    model: nn.Module,
    batch_at: Callable[[np.random.Generator, int], dict],
    loss_of: Callable[[nn.Module, dict], dict[str, Tensor]],
    config: TrainConfig,
    *,
    out_dir: str | Path | None = None,
    name: str = "model",
    context: str | Identity = "",
    progress: bool = True,
    stop_at: int | None = None,
    validate: Callable[[nn.Module], float] | None = None,
) -> History:
    """Train `model` in place and return its log; resumes from out_dir when its own run is there.

    With `validate` the model ends with the weights that it liked best, else with the last.

    Args:
        model: any module; moved to the device for the run and back to the CPU after it.
        batch_at: builds the batch of a step from that step's own generator; a dict of tensors and anything else.
        loss_of: called with (model, batch), returns named scalars of which "total" is minimised.
        config: see `TrainConfig`.
        out_dir: folder for `<name>.<key>.safetensors` and the log `<name>.<key>.json`, the key being
            `trained_identity`'s; None keeps nothing.
        context: whatever else the run depends on: data, model, code, an `Identity` of them; a run resumes only its own.
        validate: called with the model in evaluation mode, returns a value of which lower is better; when, says
            the configuration. It must not depend on torch's random state.
        stop_at: leave after this many steps as a kill would, with a checkpoint (for tests and time budgets).

    Raises:
        CheckpointError: the files in out_dir are truncated, or of another identity than their name says.
        FloatingPointError: the loss is NaN; the last good checkpoint stays.
    """
    from lightning_fabric import Fabric  # 240 MB and a second that only training needs

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision at every start
    precision = precision_on(config.precision, config.device)
    fabric = Fabric(accelerator=config.device, devices=1, precision=precision)
    files = _Files(Path(out_dir), name, trained_identity(config, context)) if out_dir is not None else None
    optimizer = torch.optim.AdamW(parameter_groups(model, config.weight_decay), lr=config.learning_rate)
    history, start = History(device=str(fabric.device)), 0
    if files is not None and (found := files.load(model, optimizer)) is not None:
        history, start = found, len(found.steps)
    if files is not None and files.log.exists():  # it was finished
        return history
    keep_freed_memory()
    watch = _Watch(model, config, history, validate, files.best if files is not None else {})
    wrapped, optimizer = fabric.setup(model, optimizer)
    for attribute in getattr(model, "forward_methods", ()):  # methods beside forward that loss_of calls
        wrapped.mark_forward_method(attribute)
    wrapped.train()
    last = min(config.steps, stop_at or config.steps)
    began, minutes_before = time.monotonic(), history.minutes
    bar = tqdm(range(start, last), desc=name, initial=start, total=config.steps, disable=not progress, leave=True)
    step, done = start, False
    try:
        for step in bar:
            if watch.over(step):
                done = True
                break
            batch = fabric.to_device(batch_at(seed_step(config.seed, step), step))
            history.steps.append(_one_step(fabric, wrapped, optimizer, loss_of, batch, step, config, name))
            history.minutes = minutes_before + (time.monotonic() - began) / 60
            if step % 20 == 0:
                bar.set_postfix(loss=f"{history.steps[-1]['total']:.3f}")
            if files is not None and config.checkpoint_every and (step + 1) % config.checkpoint_every == 0:
                files.save(model, optimizer, history, watch.best)
        if len(history.steps) >= config.steps:
            watch.over(config.steps)
            done = True
        if done and watch.best:
            model.load_state_dict(watch.best)
    finally:
        model.eval().to("cpu")
        if files is not None and history.steps and math.isfinite(history.steps[-1]["total"]):
            files.save(model, optimizer, history, watch.best, done=done)
        return_freed_memory()
    return history


def _one_step(fabric, wrapped, optimizer, loss_of, batch, step, config, name) -> dict[str, float]:
    """One step of the optimizer: the terms of its loss."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(step, config)
    # Fabric sets the precision in forward; on one device it doesn't in the methods that were marked.
    marked = getattr(wrapped.module, "forward_methods", ())
    with fabric.autocast() if marked else contextlib.nullcontext():
        terms = loss_of(wrapped, batch)
    if not torch.isfinite(terms["total"]):
        raise FloatingPointError(f"{name}: the loss is {terms['total'].item()} at step {step}")
    fabric.backward(terms["total"])
    fabric.clip_gradients(wrapped, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # here, so that the next step's forward pass has the memory
    return {k: float(v.detach()) for k, v in terms.items()}


class _Watch:
    """A run's validations: when they are due, the weights of the best, and whether it has stopped getting better.

    A step's validation comes before the step after it, so that a run that was killed between the two does it when it
    resumes.
    """

    def __init__(
        self, model: nn.Module, config: TrainConfig, history: History,
        validate: Callable[[nn.Module], float] | None, best: dict[str, Tensor],
    ):  # fmt: skip
        self.model, self.config, self.history, self.validate, self.best = model, config, history, validate, best

    def over(self, step: int) -> bool:
        """Validate after `step` steps if it is due; whether the run should end here."""
        config, seen = self.config, self.history.validation
        if self.validate is None or not config.validate_every:
            return False
        last = step >= config.steps
        due = step > 0 and step >= config.min_steps and (step % config.validate_every == 0 or last)
        if due and (not seen or seen[-1][0] < step):
            self.model.eval()
            with torch.no_grad():
                value = float(self.validate(self.model))
            self.model.train()
            if math.isfinite(value) and all(value < v or not math.isfinite(v) for _, v in seen):
                self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            seen.append((step, value))
        behind = sum(1 for when, _ in seen if when > (self.history.best_step or 0))
        return bool(config.patience) and behind >= config.patience


def precision_on(wanted: str, device: str = "auto") -> str:
    """The precision to train in: bfloat16 only where the machine has instructions to multiply it.

    torch imitates it elsewhere: on a CPU with AVX2 alone, a step of PRIMUS took twelve times as long as in float32.
    Sums and losses are float32 in both; still, weights of the one are other weights, and are named so.
    """
    if wanted != "bf16-mixed" or multiplies_bf16(device):
        return wanted
    return "32-true"


def multiplies_bf16(device: str = "auto") -> bool:
    """Whether this device multiplies bfloat16 itself; a torch that can't tell counts as no.

    With `EAILKIT_PRECISION=float32` in the environment no device does, so that any machine can be measured as one
    without.
    """
    if os.environ.get("EAILKIT_PRECISION") == "float32":
        return False
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return False
    features = getattr(torch.cpu, "get_capabilities", dict)()
    return any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "avx10_2", "sve_bf16"))


class _Files:
    """A run's files. `<name>.<key>.resume.safetensors` holds weights, optimizer and log in one file: a kill can't
    leave halves of different steps; when the run is finished `<name>.<key>.safetensors` and the log replace it."""

    def __init__(self, folder: Path, name: str, identity: Identity):
        self.identity = identity
        self.weights = weights_path(folder, name, identity)
        self.log = self.weights.with_suffix(".json")
        self.resume = self.weights.with_suffix(".resume.safetensors")
        self.best: dict[str, Tensor] = {}  # weights of the best validation of a run that `load` found unfinished

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, history: History, best: dict[str, Tensor],
        *, done: bool = False,
    ) -> None:  # fmt: skip
        """Write the resume file, or the weights and the log of a finished run."""
        record = {"identity": self.identity.record, "steps": history.steps, "minutes": history.minutes}
        record |= {"device": history.device, "validation": history.validation}
        if done:
            save_weights(model, self.weights)
            write_atomically(self.log, lambda p: Path(p).write_text(json.dumps(record)))
            self.resume.unlink(missing_ok=True)
            return
        flat = {f"model.{k}": v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
        flat |= {f"best.{k}": v for k, v in best.items()}
        for i, entries in optimizer.state_dict()["state"].items():
            for k, v in entries.items():
                flat[f"optimizer.{i}.{k}"] = torch.as_tensor(v).detach().cpu().clone()
        write_atomically(self.resume, lambda p: save_file(flat, p, metadata={"record": json.dumps(record)}))

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> History | None:
        """The log so far with model and optimizer put back, or None where there is nothing to resume."""
        if self.log.exists():
            record = _read_record(self.log, self.log.read_text(), self.identity)
            load_weights(model, self.weights)
            self.resume.unlink(missing_ok=True)  # a kill after the log was written leaves it
        elif self.resume.exists():
            flat = load_tensors(self.resume)
            with safe_open(str(self.resume), framework="pt") as file:
                record = _read_record(self.resume, (file.metadata() or {}).get("record", ""), self.identity)
            model.load_state_dict({k[6:]: v for k, v in flat.items() if k.startswith("model.")})
            self.best = {k[5:]: v for k, v in flat.items() if k.startswith("best.")}
            state = optimizer.state_dict()
            for key, value in flat.items():
                if key.startswith("optimizer."):
                    _, index, entry = key.split(".", 2)
                    state["state"].setdefault(int(index), {})[entry] = value
            optimizer.load_state_dict(state)
        else:
            return None
        validation = [(int(step), float(value)) for step, value in record["validation"]]
        return History(record["steps"], record["minutes"], record["device"], validation)


def _read_record(path: Path, text: str, identity: Identity) -> dict:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: found a log that can't be read ({error}); delete it to start again.") from error
    if differs := identity.difference(record.get("identity")):
        raise CheckpointError(
            f"{path}: found a run of another configuration ({differs}); expected {identity}; "
            "choose another folder or delete this one."
        )
    return record


def trained_identity(config: TrainConfig, context: str | Identity = "") -> Identity:
    """What names the weights of a run: its schedule, the precision really used, its seed and its context.

    How often checkpoints are written changes nothing, and neither should the device.
    """
    schedule = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in ("checkpoint_every", "device")}
    schedule["precision"] = precision_on(config.precision, config.device)
    context = context if isinstance(context, Identity) else identity("weights", context=context)
    return context.also(train=schedule)


def weights_path(folder: str | Path, name: str, identity: Identity) -> Path:
    """Where `fit` leaves finished weights of a name and a `trained_identity`; the log lies beside as .json."""
    return Path(folder) / f"{name}.{identity.key}.safetensors"


def trained_weights(folder: str | Path, name: str, identity: Identity) -> Path | None:
    """The finished weights of a name and a `trained_identity`, None where there are none.

    Raises:
        CheckpointError: the log under that name is broken or another run's.
    """
    path = weights_path(folder, name, identity)
    log = path.with_suffix(".json")  # written last
    if not log.is_file():
        return None
    _read_record(log, log.read_text(), identity)
    return path


def others_trained(folder: str | Path, name: str, identity: Identity) -> str:
    """What sets a finished run of that name apart from that identity: "seed = 1 instead of 0"; "" without one."""
    told = []
    for log in sorted(Path(folder).glob(f"{name}.*.json")):
        with contextlib.suppress(ValueError, OSError):
            told.append(identity.difference(json.loads(log.read_text()).get("identity")))
    return min(filter(None, told), key=len, default="")
