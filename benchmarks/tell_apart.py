"""Can a small classifier tell simulated from real head motion? It is tested on people whom it didn't learn from.

Windows of five seconds, handcrafted features that don't depend on how the sensor is mounted, gradient boosting and
logistic regression; the area under the curve is 0.5 where nothing gives the simulator away.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.head_statistics import BANDS_HZ, STEP_RATE, band_powers, statistics, vertical_and_rest
from benchmarks.real_heads import HeadRecording

WINDOW_S = 5.0


def features(acc: np.ndarray, gyro: np.ndarray, rate_hz: float) -> dict[str, float]:
    """Logarithms of scales and band powers, and shapes of distributions, of one window.

    The accelerometer's mean is left out: real ones aren't calibrated, and that isn't motion.
    """
    found = statistics(acc, gyro, rate_hz, WINDOW_S)
    step = found.pop(STEP_RATE)
    out = {name: np.log10(max(value, 1e-12)) for name, value in found.items()} | {STEP_RATE: step}
    up, across = vertical_and_rest(acc, acc, rate_hz)
    yaw, rest = vertical_and_rest(acc, gyro, rate_hz)
    sideways = np.linalg.norm(across - across.mean(0), axis=1)
    for name, values in (("vertical acc", up), ("yaw rate", yaw)):
        centred = (values - values.mean()) / values.std()
        out[f"{name} kurtosis"] = float(np.log(np.mean(centred**4)))
        out[f"{name} skewness"] = float(np.mean(centred**3))
    for (low, high), power in zip(BANDS_HZ[:7], band_powers(sideways, rate_hz, WINDOW_S)[:7], strict=True):
        out[f"horizontal acc {low:g}-{high:g}Hz"] = np.log10(max(power, 1e-12))
    out["tilt rate share"] = float(np.log10((rest**2).sum() / (gyro**2).sum()))
    return out


def windows(recordings: list[HeadRecording]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features (n, d), the participant of each window, and the features' names."""
    rows, participants, names = [], [], []
    for r in recordings:
        size = int(WINDOW_S * r.rate_hz)
        for i in range(0, len(r.acc_mps2) - size + 1, size):
            found = features(r.acc_mps2[i : i + size], r.gyro_radps[i : i + size], r.rate_hz)
            names = list(found)
            rows.append(list(found.values()))
            participants.append(r.participant)
    return np.array(rows), np.array(participants), names


def tell_apart(real: list[HeadRecording], simulated: list[HeadRecording], *, folds: int = 4) -> dict:
    """Cross-validated over participants: AUC of both classifiers and the features that give the simulator away.

    Both kinds weigh the same in training, however many participants each has.

    Returns:
        auc: classifier -> area under the curve of the pooled held-out windows; gives_away: feature -> loss of AUC
        when it is shuffled (boosting), largest first; windows: how many of each kind.
    """
    (a, who_a, names), (b, who_b, _) = windows(real), windows(simulated)
    x, y, who = np.concatenate([a, b]), np.r_[np.zeros(len(a)), np.ones(len(b))], np.concatenate([who_a, who_b])
    fold = {w: k % folds for kind in (who_a, who_b) for k, w in enumerate(sorted(set(kind)))}
    held = np.array([fold[w] for w in who])
    weight = np.where(y == 1, len(y) / (2 * (y == 1).sum()), len(y) / (2 * (y == 0).sum()))
    models = {
        "gradient boosting": lambda: HistGradientBoostingClassifier(max_iter=100, max_depth=3, random_state=0),
        "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
    }
    auc, importance = {}, np.zeros(x.shape[1])
    for name, make in models.items():
        score = np.zeros(len(y))
        for k in range(folds):
            train, test = held != k, held == k
            model = make()
            if name == "gradient boosting":
                model.fit(x[train], y[train], sample_weight=weight[train])
                importance += permutation_importance(
                    model, x[test], y[test], scoring="roc_auc", n_repeats=5, random_state=0
                ).importances_mean
            else:
                model.fit(x[train], y[train], logisticregression__sample_weight=weight[train])
            score[test] = model.predict_proba(x[test])[:, 1]
        auc[name] = float(roc_auc_score(y, score))
    order = np.argsort(-importance)[:6]
    gives_away = {names[i]: round(float(importance[i] / folds), 4) for i in order}
    return {"auc": auc, "gives_away": gives_away, "windows": {"real": len(a), "simulated": len(b)}}
