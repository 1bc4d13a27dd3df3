"""Metrics against hand-made cases, plain loops and the properties that they must have."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from eailkit.metrics import (
    Interval,
    ate,
    bootstrap_interval,
    macro,
    paired_interval,
    per_recording,
    relative_score,
    success_rate,
    successes,
    topk_accuracy,
    topk_hits,
)

confidences = st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=8)


def test_success_is_strict_and_in_percent():
    true = torch.zeros(4, 2, dtype=torch.float64)
    predicted = torch.tensor([[0.4, 0.0], [0.0, 0.399999], [0.0, 0.0], [0.3, 0.6]], dtype=torch.float64)
    assert success_rate(predicted, true).tolist() == [25.0, 50.0, 75.0]
    assert successes(predicted, true, (0.4,))[:, 0].tolist() == [0.0, 100.0, 100.0, 0.0]


@pytest.mark.parametrize("limit", [0.2, 0.4, 0.6])
def test_a_distance_of_exactly_the_threshold_fails(limit):
    predicted = torch.tensor([[limit, 0.0]], dtype=torch.float64)
    assert success_rate(predicted, torch.zeros(1, 2), (limit,)).item() == 0.0


def test_rs_of_hand_made_maps():
    confidence = torch.tensor([[0.1, 0.7, 0.2, 0.2, 0.0]]).repeat(4, 1)
    assert relative_score(confidence, torch.tensor([1, 4, 2, 0])).tolist() == [100.0, 0.0, 62.5, 25.0]


def test_rs_leaves_empty_cells_out():
    confidence = torch.tensor([[3.0, 1.0, 2.0, float("-inf"), float("-inf")]])
    empty = torch.tensor([[False, False, False, True, True]])
    assert relative_score(confidence, torch.tensor([2]), empty).item() == 50.0
    assert relative_score(confidence, torch.tensor([2]), empty[0]).item() == 50.0
    assert relative_score(confidence, torch.tensor([2])).item() == 75.0


@given(confidences, st.integers(0, 4))
@settings(max_examples=50, deadline=None)
def test_rs_equals_loop_and_ignores_monotone_scales(rows, cell):
    confidence = torch.tensor(rows, dtype=torch.float32)
    label = torch.full((len(rows),), cell)
    expected = [
        100 / 4 * sum(1.0 if v < row[cell] else 0.5 if v == row[cell] else 0.0 for j, v in enumerate(row) if j != cell)
        for row in rows
    ]
    assert relative_score(confidence, label).tolist() == expected
    assert relative_score(confidence.exp(), label).tolist() == expected


@given(st.floats(-5, 5), st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_a_constant_map_scores_fifty(value, cells):
    label = torch.arange(cells)
    assert relative_score(torch.full((cells, cells), value), label).tolist() == [50.0] * cells


def test_random_maps_score_fifty_on_average():
    torch.manual_seed(0)
    assert relative_score(torch.rand(4000, 30), torch.randint(30, (4000,))).mean().item() == pytest.approx(50, abs=2)


def test_topk_of_hand_made_cases():
    logits = torch.tensor([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    label = torch.tensor([2, 0, 0])
    assert topk_hits(logits, label, 1).tolist() == [0.0, 100.0, 0.0]
    assert topk_hits(logits, label, 2).tolist() == [100.0, 100.0, 50.0]
    assert topk_accuracy(logits, label, 3).item() == 100.0


@given(st.integers(1, 35), st.integers(0, 34))
@settings(max_examples=20, deadline=None)
def test_a_constant_output_scores_chance(k, label):
    assert topk_accuracy(torch.zeros(1, 35), torch.tensor([label]), k).item() == pytest.approx(100 * k / 35, rel=1e-5)


def test_topk_equals_torch_where_nothing_ties():
    torch.manual_seed(0)
    logits, label = torch.randn(200, 35), torch.randint(35, (200,))
    expected = (logits.topk(5).indices == label[:, None]).any(1).float().mean() * 100
    torch.testing.assert_close(topk_accuracy(logits, label, 5), expected)


def test_ate_of_a_known_offset():
    true = torch.randn(50, 2)
    assert ate(true + torch.tensor([3.0, 4.0]), true).item() == pytest.approx(5.0, rel=1e-6)
    errors = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    assert ate(errors, torch.zeros(2, 2)).item() == pytest.approx(math.sqrt(5.0))


@given(st.integers(1, 3), st.integers(1, 30), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_ronin_s_ate_is_one_over_root_d_of_the_norm(d, n, seed):
    rng = np.random.default_rng(seed)
    predicted, true = torch.from_numpy(rng.normal(size=(n, d))), torch.from_numpy(rng.normal(size=(n, d)))
    assert ate(predicted, true, "ronin").item() == pytest.approx(ate(predicted, true).item() / math.sqrt(d))


def test_macro_counts_every_recording_once():
    values, take = torch.tensor([0.0, 0.0, 0.0, 100.0, math.nan]), ["long", "long", "long", "short", "empty"]
    assert macro(values, take) == 50.0
    assert per_recording(values, take) == {"long": 0.0, "short": 100.0}
    assert math.isnan(macro(torch.tensor([]), []))


def test_interval_covers_the_truth_as_often_as_it_says():
    """Recordings with room and participant effects; a naive bootstrap over recordings would cover far less."""
    rng, covered = np.random.default_rng(0), 0
    rooms, people = np.repeat(np.arange(12), 12), np.tile(np.arange(12), 12)
    for trial in range(60):
        values = rng.normal(size=12)[rooms] + rng.normal(size=12)[people] + rng.normal(size=144)
        interval = bootstrap_interval(values, list(rooms), list(people), draws=300, seed=trial)
        covered += interval.low <= 0.0 <= interval.high
    assert covered >= 53


def test_interval_is_wider_than_one_over_independent_recordings():
    rng = np.random.default_rng(0)
    rooms = np.repeat(np.arange(6), 20)
    values = rng.normal(size=6)[rooms] + 0.1 * rng.normal(size=120)
    clustered = bootstrap_interval(values, list(rooms), list(range(120)))
    naive_half_width = 1.96 * values.std() / math.sqrt(120)
    assert clustered.high - clustered.low > 3 * naive_half_width


def test_interval_is_reproducible_and_exact_for_constants():
    values = list(np.random.default_rng(0).normal(size=30))
    rooms, people = [f"room {i % 5}" for i in range(30)], [f"person {i % 6}" for i in range(30)]
    assert bootstrap_interval(values, rooms, people, seed=3) == bootstrap_interval(values, rooms, people, seed=3)
    assert bootstrap_interval(values, rooms, people, seed=3) != bootstrap_interval(values, rooms, people, seed=4)
    assert bootstrap_interval([7.0] * 30, rooms, people) == Interval(7.0, 7.0, 7.0)
    assert bootstrap_interval([7.0], ["a"], ["p"]).low == 7.0


def test_one_room_and_person_each_still_gives_an_interval():
    """Sparse designs draw no recording at times; those draws are repeated."""
    interval = bootstrap_interval([0.0, 10.0, 20.0], ["a", "b", "c"], ["p", "q", "r"], draws=500)
    assert interval.low == 0.0 and interval.high == 20.0 and interval.mean == 10.0


def test_pairing_cancels_what_both_share():
    rng = np.random.default_rng(1)
    rooms, people = list(np.repeat(np.arange(6), 6)), list(np.tile(np.arange(6), 6))
    hard = 30 * rng.normal(size=36)
    difference = paired_interval(hard + 3 + 0.1 * rng.normal(size=36), hard, rooms, people)
    assert difference.excludes_zero and difference.mean == pytest.approx(3, abs=0.2)
    assert not difference.within(2.0)
    assert not bootstrap_interval(hard + 3, rooms, people).excludes_zero


def test_one_seed_is_the_interval_without_seeds_exactly():
    rng = np.random.default_rng(5)
    values, rooms = list(rng.normal(size=24)), [f"r{i % 4}" for i in range(24)]
    people = [f"p{i % 5}" for i in range(24)]
    plain = bootstrap_interval(values, rooms, people)
    assert bootstrap_interval(values, rooms, people, seeds=[7] * 24) == plain
    assert bootstrap_interval([0.0, 10.0, 20.0], "abc", "pqr", seeds=[0] * 3) == bootstrap_interval(
        [0.0, 10.0, 20.0], "abc", "pqr"
    )  # sparse: draws without a recording are repeated
    thrice = bootstrap_interval(values * 3, rooms * 3, people * 3, seeds=[0] * 24 + [1] * 24 + [2] * 24)
    assert (thrice.mean, thrice.low, thrice.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=1e-12)


def test_seeds_that_differ_widen_the_interval_to_what_their_draws_allow():
    """Takes alike, two trainings 10 points apart: both twice in a quarter of the draws each, else one of each."""
    rooms, people = [f"r{i % 3}" for i in range(12)] * 2, [f"p{i % 4}" for i in range(12)] * 2
    values, seeds = [0.0] * 12 + [10.0] * 12, [0] * 12 + [1] * 12
    blind = bootstrap_interval(values, rooms, people)
    assert (blind.low, blind.mean, blind.high) == (5.0, 5.0, 5.0)  # as if they were takes of one training
    assert bootstrap_interval(values, rooms, people, seeds=seeds) == Interval(5.0, 0.0, 10.0)
    half = bootstrap_interval(values, rooms, people, seeds=seeds, level=0.45)  # the middle half are one of each
    assert (half.low, half.high) == (5.0, 5.0)


def test_intervals_over_seeds_spread_as_trainings_do():
    """Many trainings, nothing else varies: the interval is the normal one of their mean."""
    rng = np.random.default_rng(2)
    effect = rng.normal(size=40)
    seeds, rooms = np.repeat(np.arange(40), 6), np.tile(np.arange(6), 40)
    found = bootstrap_interval(effect[seeds], list(rooms), list(rooms % 3), seeds=list(seeds))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * effect.std() / math.sqrt(40), rel=0.08)
    assert found.mean == pytest.approx(effect.mean())


def test_pairing_cancels_what_a_training_does_to_both():
    rng = np.random.default_rng(3)
    seeds, rooms, people = list(np.repeat(range(3), 12)), list(np.tile(range(4), 9)), list(np.tile(range(6), 6))
    luck = 20 * rng.normal(size=3)[np.repeat(range(3), 12)]
    found = paired_interval(luck + 2, luck, rooms, people, seeds=seeds)
    assert (found.low, found.mean, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert not bootstrap_interval(luck + 2, rooms, people, seeds=seeds).excludes_zero


def test_on_par_needs_the_whole_interval_inside_the_margin():
    assert Interval(0.5, -1.9, 1.9).within(2.0) and not Interval(0.5, -1.9, 2.0).within(2.0)
    assert Interval(-1.0, -1.5, -0.5).excludes_zero and not Interval(0.0, -0.1, 0.1).excludes_zero
    assert str(Interval(12.345, 10.0, 14.0)) == "12.3 [10.0, 14.0]"


def test_numpy_input_works():
    assert relative_score(np.array([[1.0, 2.0]]), np.array([1])).tolist() == [100.0]
    assert success_rate(np.zeros((1, 2)), np.zeros((1, 2))).tolist() == [100.0] * 3
    assert topk_accuracy(np.array([[1.0, 2.0]]), np.array([1]), 1).item() == 100.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: success_rate(torch.zeros(2, 2), torch.zeros(3, 2)), "equal shapes|true_xy"),
        (lambda: success_rate(torch.full((1, 2), math.nan), torch.zeros(1, 2)), "NaN positions"),
        (lambda: relative_score(torch.zeros(1, 4), torch.tensor([4])), "expected 0 to 3"),
        (lambda: relative_score(torch.zeros(1, 4), torch.tensor([-1])), "leave unlabelled seconds out"),
        (lambda: relative_score(torch.full((1, 4), math.nan), torch.tensor([0])), "NaN"),
        (lambda: topk_accuracy(torch.zeros(1, 4), torch.tensor([0]), 0), "k = 0"),
        (lambda: ate(torch.zeros(2, 2), torch.zeros(2, 2), "rmse"), "'norm' or 'ronin'"),
        (lambda: ate(torch.zeros(0, 2), torch.zeros(0, 2)), "non-empty"),
        (lambda: bootstrap_interval([1.0], ["a", "b"], ["p"]), "as many of each"),
        (lambda: bootstrap_interval([math.nan], ["a"], ["p"]), "NaN"),
        (lambda: bootstrap_interval([1.0], ["a"], ["p"], seeds=[0, 1]), "2 seeds"),
        (lambda: paired_interval([1.0], [1.0, 2.0], ["a"], ["p"]), "the same recordings"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises((ValueError, TypeCheckError), match=message):
        call()
