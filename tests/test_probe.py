"""Probes: logistic regression as sklearn fits it, a text head between zero-shot and that, the release's small steps."""

import time

import numpy as np
import pytest
from fake_dataset import one_sentence
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from eailkit.errors import ConfigError, DatasetError
from eailkit.fewshot.probe import fit_as_released, fit_probe, gradient_boosting, normalise, zero_shot


def world(n=400, d=24, n_classes=4, spread=0.6, text_noise=0.3, seed=0):
    """Features around one direction a class, and text embeddings near these directions."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(n_classes, d))
    label = np.arange(n) % n_classes
    features = centre[label] + spread * rng.normal(size=(n, d))
    return features, label, centre + text_noise * rng.normal(size=centre.shape)


def test_the_random_head_is_sklearns_logistic_regression():
    x, y, _ = world(spread=1.5)
    scaler = StandardScaler().fit(x[:100])
    theirs = LogisticRegression(C=0.5, max_iter=5000, tol=1e-8).fit(scaler.transform(x[:100]), y[:100])
    ours = fit_probe(x[:100], y[:100], 4, C=0.5)
    np.testing.assert_array_equal(ours.predict(x[100:]), theirs.predict(scaler.transform(x[100:])))
    np.testing.assert_allclose(ours.logits(x[100:]), theirs.decision_function(scaler.transform(x[100:])), atol=0.02)


def test_a_class_without_windows_is_never_predicted():
    x, y, text = world()
    two = y[:200] < 2
    for probe in (fit_probe(x[:200][two], y[:200][two], 4), gradient_boosting(x[:200][two], y[:200][two], 4)):
        assert set(probe.predict(x[200:])) == {0, 1}


def test_a_constant_feature_and_a_huge_one_do_no_harm():
    x, y, _ = world()
    x[:, 0], x[:, 1] = 3.0, x[:, 1] * 1e6
    assert (fit_probe(x[:40], y[:40], 4).predict(x[40:]) == y[40:]).mean() > 0.9


def test_zero_shot_is_the_nearest_prompt():
    x, y, text = world(text_noise=0.0, spread=0.2)
    np.testing.assert_array_equal(zero_shot(x, text * 7.0), y)  # lengths don't matter


def test_the_text_head_starts_at_zero_shot_and_ends_where_labels_say():
    x, y, text = world(n=2000, spread=1.5, text_noise=1.5)
    zero = zero_shot(x[1000:], text)
    one = fit_probe(x[:4], y[:4], 4, head="text", text=text, C=1e-6)
    np.testing.assert_array_equal(one.predict(x[1000:]), zero)  # held to the prompts
    few = fit_probe(x[:8], y[:8], 4, head="text", text=text, C=1.0).predict(x[1000:])
    random = fit_probe(x[:8], y[:8], 4).predict(x[1000:])
    truth = y[1000:]
    assert (few == truth).mean() > max((zero == truth).mean(), (random == truth).mean())
    many = fit_probe(x[:1000], y[:1000], 4, head="text", text=text, C=1.0).predict(x[1000:])
    full = fit_probe(x[:1000], y[:1000], 4).predict(x[1000:])
    assert (many == truth).mean() > (full == truth).mean() - 0.03 > (zero == truth).mean()


def test_text_that_says_nothing_is_ignored():
    x, y, _ = world(n=1200, spread=1.0)
    nonsense = np.random.default_rng(9).normal(size=(4, 24))
    probe = fit_probe(x[:600], y[:600], 4, head="text", text=nonsense)
    assert probe.notes["scale"] < 3.0 and (probe.predict(x[600:]) == y[600:]).mean() > 0.95


def test_the_span_of_few_windows_gives_the_full_fit():
    x, y, text = world(n=64, d=40, spread=1.0)
    few = fit_probe(x[:39], y[:39], 4, head="text", text=text, C=1.0)  # fewer windows than features: in their span
    padded = np.concatenate([x[:39], x[:39]]), np.concatenate([y[:39], y[:39]])  # twice, at half the C: the same
    same = fit_probe(*padded, 4, head="text", text=text, C=0.5)
    agree = few.predict(x) == same.predict(x)  # the scale's prior isn't halved, hence "nearly"
    assert agree.mean() > 0.95


@pytest.mark.parametrize("shots", [1, 8, 32])
def test_the_released_protocol_barely_leaves_zero_shot(shots):
    x, y, text = world(n=1600, d=512, n_classes=8, spread=3.0, text_noise=4.0)
    rows = np.flatnonzero(np.arange(1600) < 8 * shots)
    probe = fit_probe(x[rows], y[rows], 8, head="text", text=text, protocol="as_released")
    start = normalise(x) @ normalise(text).T
    assert 0 < np.abs(probe.logits(x) - start).max() < 0.025  # 20 steps of at most 1e-4
    same = probe.predict(x) == zero_shot(x, text)
    assert same.mean() > 0.85
    converged = fit_probe(x[rows], y[rows], 8, head="text", text=text)
    assert (converged.predict(x) == zero_shot(x, text)).mean() < same.mean()


def test_the_released_protocol_trains_on_the_last_batch_and_repeats():
    x, y, text = world(n=300)
    probe = fit_as_released(x, y, 4, text=text, epochs=3)
    assert probe.notes["steps"] == 6  # 256 + 44
    np.testing.assert_array_equal(
        fit_as_released(x, y, 4, seed=1).logits(x), fit_as_released(x, y, 4, seed=1).logits(x)
    )


def test_boosted_trees_learn_from_one_window_and_from_many():
    x, y, _ = world(spread=0.5)
    assert (gradient_boosting(x[:200], y[:200], 4).predict(x[200:]) == y[200:]).mean() > 0.9
    assert (gradient_boosting(x[:4], y[:4], 4).predict(x[200:]) == y[200:]).mean() > 0.4


def test_five_hundred_windows_of_512_features_take_a_moment():
    x, y, text = world(n=500, d=512, n_classes=11, spread=3.0)
    for head in ("random", "text"):
        fit_probe(x, y, 11, head=head, text=text)
        begun = time.process_time()  # the machine may be shared
        fit_probe(x, y, 11, head=head, text=text)
        assert time.process_time() - begun < 3.0  # 0.02 to 0.2 s alone on a core


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"labels": np.zeros(40, int)}, DatasetError, "two classes"),
        ({"labels": np.arange(40) % 5}, DatasetError, "0 to 3"),
        ({"labels": np.arange(39) % 4}, DatasetError, "39 labels"),
        ({"features": np.full((40, 24), np.nan)}, DatasetError, "NaN"),
        ({"head": "cosine"}, ConfigError, "cosine"),
        ({"protocol": "paper"}, ConfigError, "paper"),
        ({"head": "text"}, ConfigError, "None"),
        ({"head": "text", "text": np.ones((4, 512))}, ConfigError, "(4, 512)"),
    ],
)
def test_what_cant_be_fitted_is_said(change, error, says):
    x, y, _ = world(n=40)
    arguments = {"features": x, "labels": y, "n_classes": 4} | change
    with pytest.raises(error) as found:
        fit_probe(**arguments)
    one_sentence(found, says)


@pytest.mark.parametrize("n", [20, 200])
def test_the_text_heads_optimum_is_a_plain_solvers(n):
    from scipy.optimize import minimize

    x, y, text = world(n=n, d=30, spread=2.0, text_noise=1.0)
    x[:, 10:] = x[:, :20] + 0.1 * x[:, 10:]  # collinear, as a net's outputs are
    unit, prompts = normalise(x), normalise(text)
    mean = unit.mean(axis=0)
    centred = (unit - mean) / np.sqrt(((unit - mean) ** 2).mean())

    def loss(w):  # the docstring's formula, in no clever coordinates
        s, V, b = w[0], w[1:121].reshape(4, 30), w[121:]
        z = s * unit @ prompts.T + centred @ V.T + b
        ce = np.logaddexp.reduce(z, axis=1) - z[np.arange(n), y]
        return ce.sum() + ((V**2).sum() + (b**2).sum()) / 2 + ((s - 10) / 10) ** 2 / 2

    found = minimize(loss, np.r_[10.0, np.zeros(124)], method="L-BFGS-B", options={"maxfun": 10**6, "maxiter": 5000})
    probe = fit_probe(x, y, 4, head="text", text=text, C=1.0)
    ours = probe.logits(x)
    s, V, b = found.x[0], found.x[1:121].reshape(4, 30), found.x[121:]
    np.testing.assert_allclose(ours, s * unit @ prompts.T + centred @ V.T + b, atol=0.05)
    assert probe.notes["scale"] == pytest.approx(s, abs=0.05)
