"""The training loop: resuming is exact, files survive a kill, wrong checkpoints are refused in one sentence."""

import math
import os
import platform
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from eailkit.allocator import keep_freed_memory, return_freed_memory
from eailkit.errors import CheckpointError, OutputError
from eailkit.files import check_writable, write_atomically
from eailkit.training import (
    TrainConfig,
    fit,
    learning_rate_at,
    parameter_groups,
    precision_on,
    trained_identity,
    trained_weights,
    weights_path,
)
from eailkit.weights import load_weights, save_weights

CONFIG = TrainConfig(steps=12, warmup_steps=3, checkpoint_every=4, seed=5, device="cpu")


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))


def _batch(rng: np.random.Generator, step: int) -> dict:
    x = torch.from_numpy(rng.normal(size=(8, 6)).astype(np.float32))
    return {"x": x, "y": x.sum(1, keepdim=True)}


def _loss(model: nn.Module, batch: dict) -> dict:
    return {"total": nn.functional.mse_loss(model(batch["x"]), batch["y"])}


@pytest.mark.parametrize("stop_at", [1, 5, 8])
def test_a_run_that_was_stopped_and_resumed_gives_the_losses_and_weights_of_one_that_was_not(tmp_path, stop_at):
    whole, parts = _model(), _model()
    expected = fit(whole, _batch, _loss, CONFIG, progress=False).column("total")
    fit(parts, _batch, _loss, CONFIG, out_dir=tmp_path, progress=False, stop_at=stop_at)
    fresh = _model()  # a new process knows nothing but the files
    found = fit(fresh, _batch, _loss, CONFIG, out_dir=tmp_path, progress=False).column("total")
    np.testing.assert_array_equal(found, expected)
    for a, b in zip(whole.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_an_exception_in_the_middle_keeps_the_steps_before_it(tmp_path):
    def broken(model, batch):
        if broken.calls == 6:
            raise KeyboardInterrupt
        broken.calls += 1
        return _loss(model, batch)

    broken.calls = 0
    with pytest.raises(KeyboardInterrupt):
        fit(_model(), _batch, broken, CONFIG, out_dir=tmp_path, progress=False)
    expected = fit(_model(), _batch, _loss, CONFIG, progress=False).column("total")
    found = fit(_model(), _batch, _loss, CONFIG, out_dir=tmp_path, progress=False)
    np.testing.assert_array_equal(found.column("total"), expected)


def test_a_finished_run_is_found_again_and_not_trained_further(tmp_path):
    model = _model()
    fit(model, _batch, _loss, CONFIG, out_dir=tmp_path, progress=False)
    again = _model()
    history = fit(
        again, lambda *_: pytest.fail("a finished run drew a batch"), _loss, CONFIG, out_dir=tmp_path, progress=False
    )
    assert len(history.steps) == 12
    assert torch.equal(model[0].weight, again[0].weight)
    weights = weights_path(tmp_path, "model", trained_identity(CONFIG))
    assert sorted(p.name for p in tmp_path.iterdir()) == [weights.with_suffix(".json").name, weights.name]


VALIDATED = replace(CONFIG, validate_every=2, min_steps=4)


def _held_out(model: nn.Module) -> float:
    """The loss on a batch that training never draws; dropout off, or two calls would differ."""
    assert not model.training
    return float(_loss(model, _batch(np.random.default_rng(99), 0))["total"])


def test_the_best_validated_weights_are_kept_and_the_log_says_when_they_were(tmp_path):
    values = iter([3.0, 1.0, math.nan, 2.0, 1.0])
    weights = []

    def value(model: nn.Module) -> float:
        weights.append({k: v.clone() for k, v in model.state_dict().items()})
        return next(values)

    model, again = _model(), _model()
    history = fit(model, _batch, _loss, VALIDATED, out_dir=tmp_path, progress=False, validate=value)
    assert [step for step, _ in history.validation] == [4, 6, 8, 10, 12] and len(history.steps) == 12
    assert history.best_step == 6
    found = fit(again, _batch, _loss, VALIDATED, out_dir=tmp_path, progress=False, validate=value)
    assert found.validation[:2] == [(4, 3.0), (6, 1.0)] and found.best_step == 6
    for kept_by in (model, again):
        for name, kept in kept_by.state_dict().items():
            assert torch.equal(kept, weights[1][name])
    assert not torch.equal(weights[1]["0.weight"], weights[4]["0.weight"])


def test_a_run_ends_when_validation_stalls_but_not_before_its_least_steps(tmp_path):
    impatient = replace(VALIDATED, patience=2)
    stalled = lambda model: 1.0  # noqa: E731
    history = fit(_model(), _batch, _loss, impatient, out_dir=tmp_path, progress=False, validate=stalled)
    assert history.validation == [(4, 1.0), (6, 1.0), (8, 1.0)] and len(history.steps) == 8
    found = fit(_model(), _batch, _loss, impatient, out_dir=tmp_path, progress=False, validate=stalled)
    assert len(found.steps) == 8 and found.validation == history.validation
    better = iter(range(0, -100, -1))
    history = fit(_model(), _batch, _loss, impatient, progress=False, validate=lambda model: next(better))
    assert len(history.steps) == 12


@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("stops", [(5,), (4, 6, 8), (1, 7, 11, 12)])
def test_a_validated_run_that_was_stopped_gives_what_an_uninterrupted_one_gives(tmp_path, stops, patience):
    config, whole = replace(VALIDATED, patience=patience), _model()
    expected = fit(whole, _batch, _loss, config, progress=False, validate=_held_out)
    for stop_at in stops:
        fit(_model(), _batch, _loss, config, out_dir=tmp_path, progress=False, validate=_held_out, stop_at=stop_at)
    fresh = _model()
    found = fit(fresh, _batch, _loss, config, out_dir=tmp_path, progress=False, validate=_held_out)
    assert found.validation == expected.validation
    np.testing.assert_array_equal(found.column("total"), expected.column("total"))
    for a, b in zip(whole.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_kill_during_a_validation_has_it_done_again(tmp_path):
    def killed(model: nn.Module) -> float:
        raise KeyboardInterrupt

    whole, fresh = _model(), _model()
    expected = fit(whole, _batch, _loss, VALIDATED, progress=False, validate=_held_out)
    with pytest.raises(KeyboardInterrupt):
        fit(_model(), _batch, _loss, VALIDATED, out_dir=tmp_path, progress=False, validate=killed)
    found = fit(fresh, _batch, _loss, VALIDATED, out_dir=tmp_path, progress=False, validate=_held_out)
    assert found.validation == expected.validation and len(found.validation) == 5
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), fresh.state_dict().values(), strict=True))


def test_validating_changes_nothing_of_the_training():
    plain = fit(_model(), _batch, _loss, CONFIG, progress=False).column("total")
    watched = fit(_model(), _batch, _loss, VALIDATED, progress=False, validate=_held_out).column("total")
    np.testing.assert_array_equal(plain, watched)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
def test_freed_memory_stays_for_the_next_step_until_it_is_returned():
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    keep_freed_memory()
    return_freed_memory()
    before = resident_bytes()
    activations = [torch.ones(1_000_000) for _ in range(50)]  # 200 MB
    del activations
    assert resident_bytes() - before > 150e6
    return_freed_memory()
    assert resident_bytes() - before < 50e6


def test_a_nan_loss_stops_the_run_and_the_last_good_weights_stay(tmp_path):
    def poisoned(model, batch):
        loss = _loss(model, batch)["total"]
        poisoned.calls += 1
        return {"total": loss * (float("nan") if poisoned.calls > 5 else 1.0)}

    poisoned.calls = 0
    with pytest.raises(FloatingPointError, match="step 5"):
        fit(_model(), _batch, poisoned, CONFIG, out_dir=tmp_path, progress=False)
    (kept,) = tmp_path.glob("model.*.resume.safetensors")
    state = load_file(kept)
    assert all(torch.isfinite(v).all() for v in state.values())


def test_a_run_of_other_settings_or_another_context_is_another_and_a_renamed_one_is_refused(tmp_path):
    options = {"out_dir": tmp_path, "progress": False}
    fit(_model(), _batch, _loss, CONFIG, context="data A", **options)
    faster = replace(CONFIG, learning_rate=1e-2)
    for config, context, told in ((CONFIG, "data B", "context = data A instead of data B"),
                                  (faster, "data A", "train.learning_rate = 0.001 instead of 0.01")):  # fmt: skip
        model = _model()
        fit(model, _batch, _loss, config, context=context, **options)
        wanted = trained_identity(config, context)
        path = trained_weights(tmp_path, "model", wanted)
        assert path and torch.equal(load_file(path)["0.weight"], model[0].weight)
        log = weights_path(tmp_path, "model", trained_identity(CONFIG, "data A")).with_suffix(".json")
        path.with_suffix(".json").write_text(log.read_text())  # the first run under the other's name
        for read in (lambda c=config, x=context: fit(_model(), _batch, _loss, c, context=x, **options),
                     lambda w=wanted: trained_weights(tmp_path, "model", w)):  # fmt: skip
            with pytest.raises(CheckpointError, match=re.escape(told)):
                read()


def test_weights_of_another_precision_are_other_weights_and_checkpoints_and_device_change_nothing(monkeypatch):
    monkeypatch.delenv("EAILKIT_PRECISION", raising=False)
    half = replace(CONFIG, precision="bf16-mixed")
    names = set()
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda fast=fast: {"avx512_bf16": fast})
        names.add(trained_identity(half).key)
    assert len(names) == 2 and trained_identity(CONFIG).key in names  # what is really used counts, not what is asked
    assert trained_identity(replace(CONFIG, checkpoint_every=1, device="auto")).key == trained_identity(CONFIG).key


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)])
def test_the_precision_that_is_named_reaches_forward_and_every_method_that_gives_a_loss(precision, dtype, monkeypatch):
    monkeypatch.delenv("EAILKIT_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    products = []

    class Net(nn.Module):
        forward_methods = ("loss",)

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 1)

        def forward(self, x):
            products.append(self.layer(x))
            return products[-1]

        def loss(self, x):
            return self(x).float().square().mean()

    for loss_of in (lambda m, b: {"total": m.loss(b["x"])}, lambda m, b: {"total": m(b["x"]).float().mean()}):
        fit(Net(), _batch, loss_of, replace(CONFIG, steps=1, precision=precision), progress=False)
    assert [p.dtype for p in products] == [dtype, dtype]


def test_truncated_missing_and_foreign_weights_are_each_one_sentence(tmp_path):
    path = save_weights(_model(), tmp_path / "w.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        load_weights(_model(), path)
    with pytest.raises(CheckpointError, match="found no file"):
        load_weights(_model(), tmp_path / "nowhere.safetensors")
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="another model"):
        load_weights(_model(), path)


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def fails(beside: str) -> None:
        Path(beside).write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fails)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_schedule_warms_up_peaks_and_ends_near_zero():
    rates = [learning_rate_at(i, CONFIG) for i in range(12)]
    assert rates[0] == pytest.approx(1e-3 / 3)
    assert max(rates) == rates[2] == rates[3] == pytest.approx(1e-3)
    assert all(a >= b for a, b in zip(rates[3:], rates[4:], strict=False))
    assert rates[-1] < 1e-4


def test_weight_decay_spares_biases_norms_and_temperatures():
    decayed, spared = parameter_groups(_model(), 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(16, 6), (1, 16)]
    assert spared["weight_decay"] == 0.0 and all(p.ndim < 2 for p in spared["params"])


def test_a_target_that_can_not_be_written_is_found_out_before_the_work(tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("old")
    check_writable(kept)
    check_writable(tmp_path / "new" / "folder" / "file.csv")
    assert kept.read_text() == "old"
    with pytest.raises(OutputError, match="found a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="can't be written"):
        check_writable(kept / "below_a_file.csv")


def test_bfloat16_is_used_only_where_the_machine_multiplies_it(monkeypatch):
    """A product in the chosen precision is never much slower than in float32: imitated bfloat16 is, ten times."""
    monkeypatch.delenv("EAILKIT_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_f": True, "avx512_bf16": False})
    assert precision_on("bf16-mixed", "cpu") == "32-true" and precision_on("32-true", "cpu") == "32-true"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert precision_on("bf16-mixed", "cpu") == "bf16-mixed"
    monkeypatch.setenv("EAILKIT_PRECISION", "float32")  # any machine as one without
    assert precision_on("bf16-mixed", "cpu") == precision_on("bf16-mixed") == "32-true"
    monkeypatch.undo()
    if precision_on("bf16-mixed", "cpu") == "32-true":
        return
    a, fastest = torch.randn(1024, 1024), {}
    for kind in (torch.float32, torch.bfloat16):
        x, took = a.to(kind), []
        for _ in range(7):
            began = time.perf_counter()
            x @ x
            took.append(time.perf_counter() - began)
        fastest[kind] = min(took)
    assert fastest[torch.bfloat16] < 2 * fastest[torch.float32]
