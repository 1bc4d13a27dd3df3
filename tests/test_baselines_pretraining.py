"""Standard training: it learns when it is trained properly, and the paper's few steps hardly move it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eailkit.baselines.supervised import EPOCHS, train_classifier
from eailkit.errors import DatasetError
from eailkit.primus.config import PrimusConfig

ENCODERS = {
    "stacked_rnn": {"embed_dim": 64},
    "motion_gru": {"bands": 4, "width": 16, "hidden": 16, "embed_dim": 32},
}


def windows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Heads that walk (1) and heads that hardly move (0)."""
    rng, t, label = np.random.default_rng(seed), np.arange(250) / 50, np.arange(n) % 2
    size, phase = np.where(label, 2.0, 0.05)[:, None], rng.uniform(0, 6.28, (n, 1))
    x = rng.normal(0, 0.05, (n, 6, 250))
    x[:, 2] += 9.81 + size * np.sin(4 * np.pi * t + phase)
    x[:, 4] += 0.2 * size * np.sin(2 * np.pi * t + phase)
    return x.astype(np.float32), label


@torch.no_grad()
def loss_of(model, x, y) -> float:
    return float(torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_two_different_activities_are_learned_properly_and_hardly_in_few_steps(encoder):
    config = PrimusConfig(encoder=encoder, encoder_options=ENCODERS[encoder])
    train, test = windows(40, 0), windows(60, 1)
    proper = train_classifier(config, *train, 2, steps=40)
    assert (proper.predict(test[0]) == test[1]).mean() == 1.0 and loss_of(proper, *test) < 0.02
    few = train_classifier(config, *train, 2)
    assert loss_of(few, *train) > 0.25 > 10 * loss_of(proper, *train)
    assert EPOCHS == 20  # of one batch: 20 steps


def test_the_same_seed_trains_the_same_net_and_odd_sizes_work():
    config = PrimusConfig(encoder_options=ENCODERS["stacked_rnn"])
    x, y = windows(5, 0)
    one, two, other = (train_classifier(config, x, y, 3, steps=3, seed=s) for s in (0, 0, 1))
    with torch.no_grad():
        a, b, c = (m(torch.from_numpy(x)) for m in (one, two, other))
    assert torch.equal(a, b) and not torch.equal(a, c) and a.shape == (5, 3)
    single = train_classifier(config, x[:1], y[:1], 2, steps=2)
    assert single.predict(x).shape == (5,) and (single.predict(x) == one.predict(x)).dtype == bool


def test_nothing_to_train_on_is_refused():
    x, y = windows(4, 0)
    for bad in ((x[:0], y[:0]), (x, y[:2])):
        with pytest.raises(DatasetError, match="as many"):
            train_classifier(PrimusConfig(), *bad, 2)
