"""How the tracker's belief in EAIL's maps is chosen on validation takes."""

import numpy as np

from eailkit.experiments.methods import least_power

ROOMS, PEOPLE = [k // 3 for k in range(12)], [k % 4 for k in range(12)]


def test_the_best_power_is_taken_where_every_take_says_so():
    scores = {0.1: np.full(12, -5.0), 0.2: np.full(12, -4.0), 0.3: np.full(12, -4.5)}
    assert least_power(scores, ROOMS, PEOPLE) == 0.2


def test_of_powers_that_takes_cant_tell_apart_the_least_is_taken():
    takes = np.random.default_rng(0).normal(-5, 1, 12)
    close = takes + 0.01 + 0.2 * np.resize([1, -1, -1, 1], 12)
    scores = {0.05: takes - 2.0, 0.1: takes, 0.2: close, 0.3: takes - 1.0}
    assert np.mean(scores[0.2]) > np.mean(scores[0.1]), "the best by its mean, by less than it varies"
    assert least_power(scores, ROOMS, PEOPLE) == 0.1
