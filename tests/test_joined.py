"""EAIL with PRIMUS's encoder: the context windows against a naive cut, freezing, a step of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from eailkit.eail.evaluation import Table
from eailkit.errors import ConfigError
from eailkit.experiments.eail_run import FULL
from eailkit.experiments.eail_with_primus import USES, PrimusImu, around, joined_stage1, line_name, with_differences
from eailkit.experiments.tables import method_rows
from eailkit.metrics import METRICS
from eailkit.primus.config import PrimusConfig
from eailkit.primus.model import Primus
from eailkit.results.ledger import append_rows
from eailkit.results.recorded import joined_recorded


def test_context_is_the_five_seconds_around_each_second():
    t = np.arange(400 * 12) / 400.0
    signal = np.stack([np.sin(2 * np.pi * (0.3 + 0.2 * k) * t) for k in range(6)]).astype(np.float32)
    windows = signal.reshape(6, 12, 400).transpose(1, 0, 2)
    found = around(windows)
    assert found.shape == (12, 6, 250)
    at = 4.0 - 2.0 + np.arange(250) / 50.0  # second 4 spans 4..5 s; its context 2..7 s
    naive = np.stack([np.sin(2 * np.pi * (0.3 + 0.2 * k) * at) for k in range(6)])
    assert np.abs(found[4] - naive).max() < 0.01


def test_context_does_not_alias():
    t = np.arange(400 * 10) / 400.0
    high = np.sin(2 * np.pi * 60.0 * t).astype(np.float32)  # above the new Nyquist frequency of 25 Hz
    found = around(np.broadcast_to(high, (6, 4000)).reshape(6, 10, 400).transpose(1, 0, 2))
    assert np.abs(found[3:7]).max() < 0.02


@pytest.mark.parametrize("seconds", [1, 3])
def test_short_takes_get_whole_windows(seconds: int):
    assert around(np.ones((seconds, 6, 400), np.float32)).shape == (seconds, 6, 250)


@pytest.mark.parametrize("encoder", ["stacked_rnn", "motion_gru"])
def test_frozen_encoder_does_not_move(encoder: str):
    torch.manual_seed(0)
    options = {"embed_dim": 32} if encoder == "stacked_rnn" else {"hidden": 16, "width": 16}
    primus = Primus(PrimusConfig(encoder=encoder, encoder_options=options, terms=("ss",)), feature_dim=128)
    windows = torch.randn(16, 6, 250) + torch.tensor([0.0, 0.0, 9.8, 0.0, 0.0, 0.0])[:, None]
    for frozen in (True, False):
        imu = PrimusImu(primus, 128, frozen=frozen).train()
        before = {k: v.clone() for k, v in imu.encoder.state_dict().items()}
        optimizer = torch.optim.SGD([p for p in imu.parameters() if p.requires_grad], lr=1.0)
        imu(windows).square().mean().backward()
        optimizer.step()
        moved = any(not torch.equal(before[k], v) for k, v in imu.encoder.state_dict().items())
        assert moved != frozen
        assert torch.equal(primus.encoder.state_dict()[k0 := next(iter(before))], before[k0]), "the original stays"


def test_unknown_use_is_named():
    with pytest.raises(ConfigError, match="found use 'half'"):
        joined_stage1(None, None, None, "half")


def test_recorded_differences_are_paired_and_shown_against_from_scratch(tmp_path):
    rng = np.random.default_rng(0)
    takes = [(f"t{k}", f"room{k % 3}", f"p{k % 4}") for k in range(12)]
    lines = {FULL: 0.0} | {line_name("PRIMUS", use): gain for use, gain in zip(USES, (1.0, 1.5, 6.0))}
    base = {(split, take): rng.uniform(20, 60) for split in ("test-seen", "test-unseen") for take, *_ in takes}
    table = Table(prepared=None)
    table.scores = pd.DataFrame(
        {"method": line, "seed": 0, "split": split, "take": take, "room": room, "participant": person}
        | {"outside": 0.0, "micro_n": 10.0}
        | dict.fromkeys(METRICS, base[split, take] + gain)
        for line, gain in lines.items()
        for split in table.splits
        for take, room, person in takes
    )
    common = {"command": "c", "commit": "c", "data_hash": "d", "seeds": (0,), "minutes": 1.0, "device": "CPU"}
    rows = with_differences(method_rows(table, common), table, ["PRIMUS"])
    against = {row.id: row.config.get("against") for row in rows}
    assert against[f"test-seen | {FULL}"] is None
    assert set(against["test-seen | EAIL, PRIMUS, from scratch"]) == {"EAIL as it is"}
    tuned = against["test-unseen | EAIL, PRIMUS, fine-tuned"]
    assert tuned["from scratch"]["RS"] == {"points": "5.0 [5.0, 5.0]", "verdict": "better"}
    assert tuned["EAIL as it is"]["RS"]["points"] == "6.0 [6.0, 6.0]"

    assert not len(joined_recorded(results_dir=tmp_path))
    append_rows("joined_quick", rows, results_dir=tmp_path)
    shown = joined_recorded(results_dir=tmp_path)
    assert list(shown.index) == list(lines)
    assert shown.loc["EAIL, PRIMUS, frozen", ("test-seen", "top1")].endswith("; +0.5 [0.5, 0.5]")
    mean = np.mean([base["test-seen", take] for take, *_ in takes])
    assert shown.loc[FULL, ("test-seen", "SR@0.4m")].startswith(f"{mean:.1f} [")
