"""From probabilities to an answer, its region and how sure it is: cases worked out by hand, and plain loops."""

import numpy as np
import pytest

from eailkit.eail.decision import mass_within, most_mass, radius_holding
from eailkit.preprocess.mapgrid import CELLS, MapGrid

CENTRES = MapGrid(np.zeros(2), 4.0, 0.0).cell_centres  # 0.2 m apart


def test_a_broad_hill_beats_a_lone_peak():
    """A peak of 0.2 stands alone; nine cells of 0.08 hold 0.72 together, and their middle sees them all."""
    p = np.zeros((1, CELLS))
    p[0, 25] = 0.2
    hill = [210 + 20 * dy + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    p[0, hill] = 0.08
    found = most_mass(p, CENTRES)
    assert found[0] == pytest.approx(CENTRES[hill].mean(0), abs=0.21) and p[0].argmax() == 25
    assert mass_within(p, CENTRES, found)[0] == pytest.approx(0.72)
    assert mass_within(p, CENTRES, CENTRES[210][None])[0] == pytest.approx(0.72)  # diagonals are 0.28 m away
    assert mass_within(p, CENTRES, CENTRES[210][None], 0.25)[0] == pytest.approx(0.4)
    assert most_mass(p, CENTRES, 0.1)[0] == pytest.approx(CENTRES[25])  # within less than a cell the peak wins


@pytest.mark.parametrize("radius", [0.2, 0.4, 0.6])
def test_most_mass_equals_a_plain_loop_and_a_radius_counts_strictly(radius):
    p = np.random.default_rng(0).dirichlet(np.full(CELLS, 0.1), 4)
    for row, found in zip(p, most_mass(p, CENTRES, radius), strict=True):
        masses = []
        for centre in CENTRES:
            away = np.hypot(*(CENTRES - centre).T)
            masses.append(sum(v for v, d in zip(row, away, strict=True) if d < radius))
        assert found == pytest.approx(CENTRES[int(np.argmax(masses))])
    one = np.zeros((1, CELLS))
    one[0, 0] = 1.0
    origin = MapGrid(np.array([2.0, 2.0]), 4.0, 0.0).cell_centres - 0.1  # the first at zero: the distance is exact
    assert mass_within(one, origin, np.array([[radius, 0.0]]), radius)[0] == 0.0  # as success counts: nearer than that
    assert mass_within(one, origin, np.array([[radius - 1e-6, 0.0]]), radius)[0] == 1.0


def test_of_ties_the_first_place_is_taken():
    flat = np.full((1, CELLS), 1 / CELLS)
    counts = (np.linalg.norm(CENTRES[:, None] - CENTRES[None], axis=2) < 0.4).sum(1)
    assert most_mass(flat, CENTRES)[0] == pytest.approx(CENTRES[int(counts.argmax())])


def test_a_radius_reaches_the_place_that_tips_the_scale_and_half_a_square_more():
    p = np.zeros((3, CELLS))
    p[:, 0], p[:, 1], p[:, 5] = 0.6, 0.3, 0.1  # 0, 0.2 and 1.0 m along x
    here, half = np.repeat(CENTRES[:1], 3, axis=0), 0.2 / np.sqrt(2)
    assert radius_holding(p[:1], CENTRES, here[:1], 0.5)[0] == pytest.approx(half)
    assert radius_holding(p[:1], CENTRES, here[:1], 0.8)[0] == pytest.approx(0.2 + half)
    assert radius_holding(p[:1], CENTRES, here[:1], 0.95)[0] == pytest.approx(1.0 + half)
    assert radius_holding(p, CENTRES, here + [[0.0, 0.0], [0.2, 0.0], [1.0, 0.0]], 0.95) == pytest.approx(
        np.array([1.0, 0.8, 1.0]) + half
    )
    assert radius_holding(0.5 * p[:1], CENTRES, here[:1], 0.9)[0] > 5.0  # what never adds up takes the whole square
