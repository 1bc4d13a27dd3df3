"""The few-shot protocol: who trains and who tests, equal draws for all, figures as sklearn's, intervals over people."""

import numpy as np
import pytest
from fake_dataset import one_sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from eailkit.errors import CheckpointError, ConfigError, DatasetError
from eailkit.fewshot.protocol import Task, draw, embed, evaluate, folds, run
from eailkit.fewshot.scores import Scores, accuracy, claim_holds, macro_f1
from eailkit.fewshot.windows import ActivityWindows
from eailkit.metrics import Interval
from eailkit.provenance import identity


def windows_of(label, participant, name="made up", n_classes=None) -> ActivityWindows:
    n, C = len(label), int(max(label)) + 1 if n_classes is None else n_classes
    return ActivityWindows(
        np.random.default_rng(0).normal(size=(n, 6, 250)).astype(np.float32),
        np.asarray(label),
        np.asarray(participant),
        np.array([f"r{k}" for k in range(n)]),
        np.zeros(n),
        tuple("abcdefgh"[:C]),
        tuple(f"C does {c}." for c in "abcdefgh"[:C]),
        name,
    )


def world(people=6, each=12, n_classes=3, d=8, seed=0, spread=0.8):
    """Windows and features in which the class can be seen, with a shift of each participant's own."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat(np.arange(n_classes), each), people)
    participant = np.repeat([f"p{k}" for k in range(people)], each * n_classes)
    centre, shift = rng.normal(size=(n_classes, d)), 0.5 * rng.normal(size=(people, d))
    x = (
        centre[label]
        + shift[np.repeat(np.arange(people), each * n_classes)]
        + spread * rng.normal(size=(len(label), d))
    )
    return windows_of(label, participant), x, centre


populations = st.lists(
    st.tuples(st.integers(0, 6), st.integers(-1, 3)), min_size=60, max_size=200
)  # (participant, class) of each window


@settings(max_examples=40, deadline=None)
@given(populations, st.integers(2, 4), st.integers(0, 5))
def test_every_wearer_is_tested_once_and_never_trained_on_there(pairs, n, seed):
    participant, label = np.array([f"p{p}" for p, _ in pairs]), np.array([c for _, c in pairs])
    people = set(participant[label >= 0])
    by_class = [set(participant[label == c]) for c in set(label[label >= 0])]
    if len(people) < n or any(len(w) == 1 for w in by_class):
        with pytest.raises(DatasetError):
            folds(participant, n, seed, label=label)
        return
    pairs_of_masks = folds(participant, n, seed, label=label)
    assert sum(test.astype(int) for _, test in pairs_of_masks).tolist() == (label >= 0).astype(int).tolist()
    sizes = []
    for train, test in pairs_of_masks:
        assert not set(participant[train]) & set(participant[test]) and set(participant[test])
        np.testing.assert_array_equal(train | test, label >= 0)
        sizes.append(len(set(participant[test])))
    assert max(sizes) - min(sizes) <= 1
    again = folds(participant, n, seed, label=label)
    assert all((a[1] == b[1]).all() for a, b in zip(pairs_of_masks, again, strict=True))


@settings(max_examples=40, deadline=None)
@given(populations, st.integers(1, 30), st.integers(0, 5))
def test_a_draw_has_as_many_of_each_class_spread_over_wearers(pairs, shots, seed):
    participant, label = np.array([f"p{p}" for p, _ in pairs]), np.array([c for _, c in pairs])
    among = participant != "p0"
    picked = draw(label, participant, shots, seed, among=among)
    assert len(set(picked)) == len(picked) and among[picked].all() and (label[picked] >= 0).all()
    for c in range(4):
        rows, held = picked[label[picked] == c], np.flatnonzero(among & (label == c))
        assert len(rows) == min(shots, len(held))
        have = {w: (participant[held] == w).sum() for w in set(participant[held])}
        took = {w: (participant[rows] == w).sum() for w in have}
        most = max(took.values(), default=0)
        assert all(took[w] >= min(have[w], most - 1) for w in have)  # nobody gives two more than another could
    assert set(picked) <= set(draw(label, participant, shots + 3, seed, among=among))
    np.testing.assert_array_equal(picked, draw(label, participant, shots, seed, among=among))


def test_every_method_gets_the_same_windows():
    windows, x, _ = world()
    seen = {"a": [], "b": []}
    for method in seen:

        def fit(rows, tested, seed, method=method):
            seen[method].append((rows.tolist(), tested.tolist(), seed))
            return np.zeros(len(tested), int)

        run(Task.over(windows, n_folds=3), fit, method, Scores.of(windows), shots=(1, 5), seeds=2)
    assert seen["a"] == seen["b"] and len(seen["a"]) == 2 * 2 * 3
    assert len({str(rows) for rows, _, _ in seen["a"]}) == 12  # seeds and folds draw anew


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=60))
def test_figures_are_sklearns_over_the_classes_that_the_test_has(pairs):
    truth, predicted = np.array(pairs).T  # class 3 is never true and may be predicted
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (truth, predicted), 1)
    theirs = f1_score(truth, predicted, average="macro", labels=np.unique(truth), zero_division=0)
    assert macro_f1(confusion) == pytest.approx(100 * theirs)
    assert accuracy(confusion) == pytest.approx(100 * accuracy_score(truth, predicted))


def test_the_whole_protocol_equals_a_naive_loop():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    windows, x, _ = world(seed=3)
    scores = evaluate(windows, x, "net", Scores.of(windows), shots=(2, 10), seeds=2, n_folds=3, C=0.1)
    for shots in (2, 10):
        naive = []
        for seed in range(2):
            predicted = np.full(len(windows), -1)
            for train, test in folds(windows.participant, 3, label=windows.label):
                rows = draw(windows.label, windows.participant, shots, seed, among=train)
                scaler = StandardScaler().fit(x[rows])
                model = LogisticRegression(C=0.1, max_iter=5000)
                model.fit(scaler.transform(x[rows]).clip(-8, 8), windows.label[rows])
                predicted[test] = model.predict(scaler.transform(x[test]).clip(-8, 8))
            naive.append(100 * f1_score(windows.label, predicted, average="macro"))
        np.testing.assert_allclose(scores.values("net", "random", shots), naive)


def test_curves_of_both_heads_zero_shot_boosting_and_a_file(tmp_path):
    windows, x, centre = world(people=5, each=30)
    scores = Scores.of(windows)
    evaluate(windows, x, "net", scores, heads=("random", "text"), text=centre, shots=(1, 5, 20), seeds=2)
    evaluate(windows, x, "trees", scores, classifier="boosting", shots=(1, 20), seeds=1)
    table = scores.frame()
    points = set(zip(table["method"], table["variant"], table["shots"], strict=True))
    assert points == {("net", h, n) for h in ("random", "text") for n in (1, 5, 20)} | {
        ("net", "text", 0),
        ("trees", "boosting", 1),
        ("trees", "boosting", 20),
    }
    row = table[(table["variant"] == "random") & (table["shots"] == 20)].iloc[0]
    assert row["windows"] == 60 and row["short"] == 0 and row["seeds"] == 2
    assert row["macro_f1_low"] <= row["macro_f1"] <= row["macro_f1_high"] <= 100
    zero = table[table["shots"] == 0].iloc[0]
    assert zero["accuracy"] > 80 and zero["windows"] == 0
    again = Scores.load(scores.save(tmp_path / "curves.npz"))
    assert again.frame().equals(table) and again.participants == scores.participants
    before = dict(scores.confusion)
    evaluate(windows, x * np.nan_to_num(0.0), "net", scores, shots=(1, 5, 20), seeds=2)  # nothing is left to do
    assert all(scores.confusion[k] is v for k, v in before.items())
    assert scores.difference(("net", "text"), ("net", "text"), 5) == Interval(0.0, 0.0, 0.0)
    gain = scores.difference(("net", "text"), ("net", "text"), (20, 0))
    assert gain.low <= gain.mean <= gain.high


def test_an_interval_is_over_people():
    rng = np.random.default_rng(0)
    participant = np.repeat([f"p{k}" for k in range(10)], 100)
    windows = windows_of(np.tile([0, 1], 500), participant)
    scores = Scores.of(windows)
    right = np.repeat(np.arange(10) < 5, 100)  # of five participants everything is right, of five nothing
    scores.add("split", "", 1, 0, windows.label, np.where(right, windows.label, 1 - windows.label), participant)
    flip = rng.random(1000) < 0.5
    scores.add("even", "", 1, 0, windows.label, np.where(flip, windows.label, 1 - windows.label), participant)
    split, even = (scores.interval(m, "", 1, "accuracy") for m in ("split", "even"))
    assert split.mean == 50 and split.high - split.low > 50 > 10 > even.high - even.low
    # A method that is always 5 points better on everybody differs by that, however people vary.
    better = np.where(right, windows.label, 1 - windows.label)
    better[np.arange(1000) % 100 < 5] = windows.label[np.arange(1000) % 100 < 5]
    worse = better.copy()
    worse[np.arange(1000) % 100 < 5] = 1 - windows.label[np.arange(1000) % 100 < 5]
    scores.add("better", "", 1, 0, windows.label, better, participant)
    scores.add("worse", "", 1, 0, windows.label, worse, participant)
    difference = scores.difference(("better", ""), ("worse", ""), 1, "accuracy")
    assert difference.mean == pytest.approx(5) and difference.high - difference.low < 1e-9
    assert claim_holds(difference) == "holds"


@pytest.mark.parametrize(
    ("low", "high", "better", "on_par"),
    [
        (3, 5, "holds", "doesn't"),
        (0.5, 1.5, "holds", "holds"),
        (-1.5, 1.5, "doesn't", "holds"),
        (-5, -3, "doesn't", "doesn't"),
        (-1, 4, "can't tell", "can't tell"),
        (1, 4, "holds", "can't tell"),
    ],
)
def test_verdicts(low, high, better, on_par):
    found = Interval((low + high) / 2, float(low), float(high))
    assert (claim_holds(found), claim_holds(found, "on par")) == (better, on_par)


def test_train_and_test_sets_of_other_people():
    windows, x, _ = world(people=8)
    train, test = np.isin(windows.participant, ["p0", "p1", "p2", "p3"]), np.isin(windows.participant, ["p6", "p7"])
    sets = windows.subset(train), windows.subset(test)
    scores = evaluate(sets[0], x[train], "net", Scores.of(*sets), test=sets[1], test_features=x[test], shots=(5,))
    assert scores.participants == ("p6", "p7") and scores.confusion[("net", "random", 5, 0)].sum() == test.sum()
    called = evaluate(sets[0], lambda w: w.mean(axis=2), "raw", scores, test=sets[1], shots=(5,), seeds=1)
    assert called.has("raw", "random", 5, 0)
    with pytest.raises(DatasetError) as error:
        Task.over(sets[0], sets[0])
    one_sentence(error, "4 participants in both")


def test_no_window_is_dropped_and_points_that_would_repeat_are_left_out():
    windows, _, _ = world(people=7, each=9)
    sizes = []
    features = embed(windows.imu, lambda w: sizes.append(len(w)) or w.mean(axis=2), batch=64)
    assert sizes == [64, 64, 61] and len(features) == len(windows) == 189
    assert Task.over(windows).possible((1, 20, 45, 50, 100)) == (
        1,
        20,
        45,
    )  # 5 of 7 participants with 9 shots per class
    with pytest.raises(ConfigError) as error:
        evaluate(windows, features[:128], "net", Scores.of(windows))
    one_sentence(error, "last batch")


def test_wearers_of_one_class_and_a_class_without_a_test_window():
    label = np.repeat([0, 1, 0, 1, 2, 2], 10)
    participant = np.repeat(list("uvwxyz"), 10)  # each does one thing
    windows = windows_of(label, participant, n_classes=4)  # class "d" occurs nowhere
    scores = evaluate(windows, np.eye(4)[label], "net", Scores.of(windows), shots=(1, 5), seeds=1, n_folds=2)
    assert scores.interval("net", "random", 5).mean == 100  # "d" counts as nothing, not as 0
    short = scores.frame()["short"]
    assert (short == 1).all()
    alone = windows_of(np.repeat([0, 1, 0, 1, 2], 10), np.repeat(list("uvwxy"), 10))
    with pytest.raises(DatasetError) as error:
        folds(alone.participant, 2, label=alone.label)
    one_sentence(error, "class 2", "(y)")
    skewed = windows_of(np.repeat([0, 1, 0, 1], 10), np.repeat(list("uvwx"), 10))
    halves = skewed.subset(skewed.label == 0), skewed.subset(np.isin(skewed.participant, ["v", "x"]))
    with pytest.raises(DatasetError) as error:
        Task.over(*halves)
    one_sentence(error, "'b'")


def test_bad_input_is_said(tmp_path):
    windows, x, _ = world()
    scores = Scores.of(windows)
    for act, error, says in (
        (lambda: evaluate(windows, x * np.nan, "net", scores), DatasetError, "NaN"),
        (lambda: evaluate(windows, x, "net", scores, heads=("text",)), ConfigError, "text"),
        (lambda: evaluate(windows, x, "net", scores, classifier="svm"), ConfigError, "svm"),
        (lambda: evaluate(windows, x, "net", scores, n_folds=9), DatasetError, "6 participants for 9"),
        (lambda: draw(windows.label, windows.participant, 0, 0), ConfigError, "zero-shot"),
        (lambda: scores.interval("net", "random", 3), ConfigError, "no result of 'net'"),
        (lambda: scores.add("m", "", 1, 0, [0], [0], ["somebody"]), DatasetError, "somebody"),
        (lambda: scores.add("m", "", 1, 0, [0], [7], ["p0"]), DatasetError, "outside 0 to 2"),
        (lambda: Scores.load(tmp_path / "none.npz"), CheckpointError, "none.npz"),
        (lambda: claim_holds(Interval(0.0, 0.0, 0.0), "best"), ConfigError, "best"),
    ):
        with pytest.raises(error) as found:
            act()
        one_sentence(found, says)
    (tmp_path / "half.npz").write_bytes(b"PK\x03\x04 and nothing more")
    np.save(tmp_path / "other.npy", np.zeros(3))
    for name in ("half.npz", "other.npy"):
        with pytest.raises(CheckpointError) as found:
            Scores.load(tmp_path / name)
        one_sentence(found, name)


def test_two_runs_that_score_at_once_keep_each_others_points():
    windows, _, _ = world(people=4, each=6)
    one, two = Scores.of(windows), Scores.of(windows)
    rng = np.random.default_rng(0)
    for scores, method in ((one, "a"), (two, "b"), (two, "a")):
        wrong = rng.integers(0, len(windows.classes), len(windows))
        scores.add(method, "random", 1, 0, windows.label, wrong, windows.participant)
    own = one.confusion[("a", "random", 1, 0)].copy()
    one.take(two)
    assert one.has("b", "random", 1, 0) and np.array_equal(one.confusion[("a", "random", 1, 0)], own)
    other = Scores(one.name, one.classes, ("somebody",))
    with pytest.raises(DatasetError, match="scores of another test"):
        one.take(other)


def test_points_of_a_method_that_is_made_otherwise_are_forgotten_and_never_taken(tmp_path):
    windows, _, _ = world(people=4, each=6)
    old, new = identity("encoder", width=1), identity("encoder", width=2)
    one, two = Scores.of(windows), Scores.of(windows)
    for scores, made in ((one, old), (two, new)):
        scores.begin("net", made)
        scores.begin("lines", old)
        for method in ("net", "lines"):
            wrong = np.roll(windows.label, made is new)
            scores.add(method, "random", 1 + (made is new), 0, windows.label, wrong, windows.participant)
    one.take(two)
    assert one.has("lines", "random", 2, 0) and not one.has("net", "random", 2, 0)
    kept = Scores.load(one.save(tmp_path / "scores.npz"))
    kept.begin("net", old)
    assert kept.has("net", "random", 1, 0)
    kept.begin("net", new)
    assert not kept.has("net", "random", 1, 0) and kept.has("lines", "random", 1, 0)
    kept.take(two)
    assert kept.has("net", "random", 2, 0)


def test_two_heads_that_read_the_same_features_share_points():
    scores = Scores("made up", ("a", "b"), ("p0",))
    truth, found = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores.add("m", "encoder", 5, 0, truth, found, np.array(["p0"] * 4), training=np.array([5.0, 4.0]))
    scores.add("other", "encoder", 5, 0, truth, truth, np.array(["p0"] * 4))
    scores.share("m", "encoder", "random")
    assert scores.has("m", "random", 5, 0) and not scores.has("other", "random", 5, 0)
    assert scores.values("m", "random", 5) == scores.values("m", "encoder", 5)
    np.testing.assert_array_equal(scores.training[("m", "random", 5, 0)], [5.0, 4.0])
