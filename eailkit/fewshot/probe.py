"""Classifiers on frozen features: the two heads of PRIMUS's few-shot curves, zero-shot, and boosted trees.

The paper says "linear classifier". The release starts its weights from the text embeddings of class prompts and takes
so few small steps that below about 32 shots per class the curve shows zero-shot; `fit_as_released` reproduces that.
`fit_probe` fits either start to convergence. Which windows to train on is `protocol`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from eailkit.errors import ConfigError, DatasetError
from eailkit.fewshot.logistic import fit_logistic, one_thread

# Inverse penalties. Random: tuned for handcrafted features on ClassyGlass 1A alone (0.01 to 1 lie within 2 points).
# Text: 0.1 is the best mean of 0.003 to 1 over folds of simulated training people (where prompts are good: less is
# better) and of ClassyGlass 1A (where they aren't: more is), with PRIMUS's own encoder; no test set was used.
C_DEFAULT = {"random": 0.1, "text": 0.1}
CLIP = 8.0  # standard deviations; of a few windows a deviation can be tiny, and one feature would drown the others
TEXT_SCALE = 10.0  # of cosines; 1 / temperature as PRIMUS's contrast starts with
HEADS = ("random", "text")

Predict = Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, "m classes"]]


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted classifier: `logits` of features (m, d) -> (m, classes), and what to call it.

    Attributes:
        logits: any monotone scale; -inf for a class that training didn't have.
        notes: what the fit found out, such as the learned scale of the text head.
    """

    logits: Predict
    notes: dict[str, float] = field(default_factory=dict)

    def predict(self, features: Float[np.ndarray, "m d"]) -> Int[np.ndarray, " m"]:
        """The likeliest class of each row."""
        return self.logits(features).argmax(axis=1)


def fit_probe(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    head: str = "random",
    text: Float[np.ndarray, "classes d"] | None = None,
    C: float | None = None,
    protocol: str = "converged",
    seed: int = 0,
) -> Probe:
    """A linear classifier on frozen features.

    head "random": multinomial logistic regression on features standardised by the training windows alone,
    min_W sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C): convex, so its start doesn't matter. A class without training
    windows is never predicted.

    head "text": see `fit_text_head`. protocol "as_released" takes the release's steps instead, from either start.

    Args:
        features, labels: of the training windows.
        n_classes: how many there are, whether or not training has them all.
        text: embeddings of the class prompts in the features' space, for head "text".
        C: inverse strength of the penalty; None takes `C_DEFAULT` of the head.
        protocol: "converged" or "as_released".
        seed: of the released protocol's batches and random start; the converged fits have no chance in them.

    Raises:
        ConfigError: unknown head or protocol, or text embeddings missing or of another shape.
        DatasetError: NaN, lengths that differ, labels out of range, or windows of fewer than two classes.
    """
    x, y = check_training(features, labels, n_classes)
    if head not in HEADS or protocol not in ("converged", "as_released"):
        raise ConfigError(
            f"fit_probe: found head '{head}' and protocol '{protocol}'; expected a head of {', '.join(HEADS)} and "
            "protocol 'converged' or 'as_released'."
        )
    if head == "text":
        text = check_text(text, n_classes, x.shape[1])
    if protocol == "as_released":
        return fit_as_released(x, y, n_classes, text=text if head == "text" else None, seed=seed)
    C = C_DEFAULT[head] if C is None else C
    if head == "text":
        return fit_text_head(x, y, text, C=C)
    return _fit_random_head(x, y, n_classes, C)


def _fit_random_head(x: np.ndarray, y: np.ndarray, n_classes: int, C: float) -> Probe:
    mean, std = x.mean(axis=0), x.std(axis=0)
    std = np.where(std > 1e-6 * (1.0 + np.abs(mean)), std, 1.0)

    def standardise(values: np.ndarray) -> np.ndarray:
        return np.clip((np.asarray(values, dtype=np.float64) - mean) / std, -CLIP, CLIP)

    inputs = standardise(x)
    middle = inputs.mean(axis=0)
    held, known = np.unique(y, return_inverse=True)
    model = fit_logistic(inputs - middle, known, len(held), C=C)
    return Probe(lambda values: _spread((standardise(values) - middle) @ model.V.T + model.b, held, n_classes))


def fit_text_head(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    text: Float[np.ndarray, "classes d"],
    *,
    C: float = C_DEFAULT["text"],
) -> Probe:
    """The release's idea brought to convergence: start at zero-shot and leave it only as far as the labels ask.

    logits = s <x, t_c> + <(x - m) / r, v_c> + b_c,  x and t_c normalised to length 1, m the mean of the training
    windows' x and r the root mean square of the entries of x - m:
    min over s, V, b of  sum_i CE + (|V|^2 + |b|^2) / (2 C) + ((s - 10) / 10)^2 / 2.
    V = 0 is zero-shot with a learned scale; text that says nothing sends s to 0 and leaves a logistic regression. It is
    convex (L-BFGS). r is one number, so that C means here what it means in the random head; the prior of s is wide, and
    only keeps it finite where zero-shot is right on every training window. Neither is in the paper.

    Raises:
        ConfigError, DatasetError: as `fit_probe`.
    """
    text = check_text(text, len(text), features.shape[1])
    x, y = check_training(features, labels, len(text))
    n_classes = len(text)
    prompts, unit = normalise(text), normalise(x)
    mean = unit.mean(axis=0)
    r = float(np.sqrt(((unit - mean) ** 2).mean())) or 1.0
    cosine, centred = unit @ prompts.T, (unit - mean) / r
    model = fit_logistic(centred, y, n_classes, C=C, offset=cosine, offset_scale=TEXT_SCALE, penalise_bias=True)

    def logits(values: np.ndarray) -> np.ndarray:
        v = normalise(np.asarray(values, dtype=np.float64))
        return model.s * (v @ prompts.T) + ((v - mean) / r) @ model.V.T + model.b

    return Probe(logits, {"scale": model.s, "moved": float(np.linalg.norm(model.V))})


def zero_shot(features: Float[np.ndarray, "m d"], text: Float[np.ndarray, "classes d"]) -> Int[np.ndarray, " m"]:
    """The class whose prompt has the largest cosine with each window: no labels at all.

    Raises:
        ConfigError: the embeddings don't live in one space.
    """
    text = check_text(text, len(text), features.shape[1])
    return (normalise(np.asarray(features, dtype=np.float64)) @ normalise(text).T).argmax(axis=1)


def fit_as_released(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    text: Float[np.ndarray, "classes d"] | None = None,
    epochs: int = 20,
    batch: int = 256,
    lr: float = 1e-4,
    weight_decay: float = 1e-4,
    seed: int = 0,
) -> Probe:
    """The probe as PRIMUS's release trains it: AdamW from the text embeddings, 20 epochs, warm-up then cosine.

    Input normalised, prompts normalised, no scale. A step moves a weight by about the learning rate at most, so with
    at most 256 windows (20 steps, half of 1e-4 on average) a logit of 512 features can't move by more than about
    20 * 0.5e-4 * sqrt(512) = 0.023: the curve's left end is nearly zero-shot. The share of warm-up isn't known to us;
    a tenth of the steps here. The last, smaller batch trains too.

    Args, Raises: as `fit_probe`; `text` None starts from PyTorch's random weights. RealWorld takes 50 epochs.
    """
    x, y = check_training(features, labels, n_classes)
    torch.manual_seed(seed)
    inputs, target = torch.as_tensor(normalise(x), dtype=torch.float32), torch.as_tensor(y)
    model = nn.Linear(x.shape[1], n_classes)
    if text is not None:
        text = check_text(text, n_classes, x.shape[1])
        with torch.no_grad():
            model.weight.copy_(torch.as_tensor(normalise(text), dtype=torch.float32))
            model.bias.zero_()
    steps = epochs * math.ceil(len(y) / batch)
    warm = max(1, steps // 10)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda k: (k + 1) / warm if k < warm else 0.5 * (1 + math.cos(math.pi * (k - warm) / max(1, steps - warm))),
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(y), generator=generator).split(batch):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), target[rows]).backward()
            optimiser.step()
            schedule.step()
    W, b = model.weight.detach().double().numpy(), model.bias.detach().double().numpy()
    return Probe(lambda values: normalise(np.asarray(values, dtype=np.float64)) @ W.T + b, {"steps": steps})


def gradient_boosting(
    features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], n_classes: int, *, seed: int = 0
) -> Probe:
    """Gradient-boosted trees, the other classifier on handcrafted features; small trees, few of them for few windows.

    Settings were chosen on ClassyGlass 1A; leaves may hold one window where there are few.

    Raises:
        DatasetError: as `fit_probe`.
    """
    x, y = check_training(features, labels, n_classes)
    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=8,
        max_features=0.1,
        max_bins=32,
        min_samples_leaf=int(np.clip(len(y) // 50, 1, 20)),
        early_stopping=False,
        random_state=seed,
    )
    with one_thread():
        model.fit(x, y)
    return Probe(lambda values: _spread(model.predict_proba(np.asarray(values)), model.classes_, n_classes))


def normalise(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length 1; a row of zeros stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def check_text(text: np.ndarray | None, n_classes: int, d: int) -> Float[np.ndarray, "classes d"]:
    """The prompts' embeddings as float64.

    Raises:
        ConfigError: none, another shape than (n_classes, d), or NaN.
    """
    shape = None if text is None else np.shape(text)
    if shape != (n_classes, d) or not np.isfinite(text).all():
        raise ConfigError(
            f"text head: found text embeddings {shape or 'None'}; expected finite ones of shape ({n_classes}, {d}), "
            "one a class in the features' space; embed the prompts with the encoder that the IMU was aligned to."
        )
    return np.asarray(text, dtype=np.float64)


def check_training(
    features: np.ndarray, labels: np.ndarray, n_classes: int
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
    """Training windows as float64 and int64.

    Raises:
        DatasetError: lengths differ, NaN, labels out of range, or fewer than two classes.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if x.ndim != 2 or len(x) != len(y):
        raise DatasetError(f"probe: found features {x.shape} for {len(y)} labels; expected (n, d) for n labels.")
    if bad := int((~np.isfinite(x)).any(axis=1).sum()):
        raise DatasetError(
            f"probe: found NaN or infinite features in {bad} of {len(x)} windows; expected none; see which encoder "
            "made them."
        )
    held = np.unique(y)
    if len(held) < 2:
        raise DatasetError(
            f"probe: found {len(y)} training windows of {len(held)} class(es); expected at least two classes; take "
            "more participants or fewer folds."
        )
    if held[0] < 0 or held[-1] >= n_classes:
        raise DatasetError(
            f"probe: found labels from {held[0]} to {held[-1]}; expected 0 to {n_classes - 1}; leave unlabelled "
            "windows out first."
        )
    return x, y


def _spread(values: np.ndarray, held: np.ndarray, n_classes: int) -> np.ndarray:
    """Columns of the classes that training had, put at their places among all."""
    out = np.full((len(values), n_classes), -np.inf)
    out[:, held] = values
    return out
