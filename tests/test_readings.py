"""Sentences that notebooks print under a number: one for a result that works, another for one that doesn't."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eailkit.eail import readings
from eailkit.eail.readings import CLEARLY, CONSTANT_PLACE, RULE, alike_reading, rule_reading, walk_reading
from eailkit.metrics import Interval


def test_a_walk_is_read_as_a_success_only_where_it_clearly_is_one():
    good = walk_reading({"localized": 40.0, "another walk's IMU": 12.0, "any free cell": 10.0})
    assert "tells something of the place" in good and "another walk's IMU (12.0 %) and any free cell (10.0 %)" in good
    level = walk_reading({"localized": 10.8, "another walk's IMU": 11.3, "any free cell": 10.6})
    assert "no clear help: 10.8 %, against another walk's IMU (11.3 %) and any free cell (10.6 %)." in level
    half = walk_reading({"localized": 20.0, "another walk's IMU": 18.0, "any free cell": 10.0})
    assert "no clear help: 20.0 %, against another walk's IMU (18.0 %), though clearly more than any free cell" in half
    assert "no clear help" in walk_reading({"localized": CLEARLY * 10, "any free cell": 10.0})
    assert "no clear help" in walk_reading({"localized": 0.0, "any free cell": 0.0})


def test_cells_that_look_alike_are_counted_before_they_are_blamed():
    assert "not even its neighbours" in alike_reading(0, 0, 371)
    assert "one of a kind" in alike_reading(4, 4, 371)
    many = alike_reading(74, 6, 370)
    assert "6 of its neighbours" in many and "68 cells elsewhere" in many and "(20 % of the room)" in many


def test_the_rule_is_read_from_its_verdicts_alone():
    better = dict.fromkeys(RULE, "better") | {"IMU alone": "can't tell"}
    works = rule_reading({"test-seen": better, "test-unseen": better}, seeds=3).splitlines()
    assert works[0].startswith("test-seen: better than chance, free space, training occupancy, EAIL, another take's")
    assert works[-1] == "It works by the rule, on test-seen and test-unseen over 3 seeds."
    fails = better | {"training occupancy": "can't tell", "EAIL, another take's IMU": "worse"}
    text = rule_reading({"test-seen": fails, "test-unseen": better}, seeds=3).splitlines()
    assert text[0].endswith(
        "; not shown to be better than training occupancy (can't tell) and EAIL, another take's IMU (worse)."
    )
    assert text[0].startswith(f"test-seen: better than chance, free space and {CONSTANT_PLACE};")
    assert text[-1] == "By the rule it can't be said to work, for want of test-seen."
    nothing = rule_reading({s: dict.fromkeys(RULE, "on par") for s in ("test-seen", "test-unseen")}, seeds=3)
    assert "better than none" in nothing and nothing.count("on par") == 2 * len(RULE)
    assert nothing.endswith("for want of test-seen and test-unseen.")


def test_the_rule_wants_the_constant_place_beaten_on_both_splits_and_over_three_seeds():
    better = dict.fromkeys(RULE, "better")
    place = better | {CONSTANT_PLACE: "can't tell"}
    assert "can't be said to work" in rule_reading({"test-seen": place, "test-unseen": place}, seeds=3)
    one = rule_reading({"test-seen": better, "test-unseen": better}, seeds=1)
    assert one.endswith("It clears the rule's lines with one training; the rule asks for 3 seeds.")
    with pytest.raises(ValueError, match="a seen and an unseen split"):
        rule_reading({"test-seen": better}, seeds=3)
    with pytest.raises(KeyError):
        rule_reading({"test-seen": better, "test-unseen": {"chance": "better"}}, seeds=3)


def test_high_rates_are_told_apart_by_their_misses():
    assert readings.clearly_more(97, 80) and readings.clearly_more(30, 10)
    assert not readings.clearly_more(99, 98) and not readings.clearly_more(20, 16), "no ratio of 1.5, or under 5 points"
    assert "helps here: 97.0 %" in readings.tracker_reading(97, 80)
    assert "is lost here" in readings.tracker_reading(10, 40) and "changes little" in readings.tracker_reading(41, 40)
    told = walk_reading({"localized": 40.0, "any free cell": 10.0}, told={"the best place": 60.0})
    assert told.endswith("Beside it, told something of the truth: the best place (60.0 %).")


def test_a_heading_is_told_where_the_likeliest_is_near_and_clearly_so():
    flat = np.full(12, 1 / 12)
    sharp, wrong = flat + 0.5 * np.eye(12)[1], flat + 0.5 * np.eye(12)[7]
    at = np.radians(35)
    text = readings.heading_reading({"one second": flat, "ten": wrong, "the take": sharp}, at)
    assert text.endswith("So the heading is told after the take, and not after one second and ten.")
    assert "After one second the likeliest heading, by a hair (8 %, blindly 8 %)" in text and "is 175 degrees" in text
    assert "told at once" in readings.heading_reading({"one second": sharp, "ten": sharp}, at)
    assert "don't tell the heading" in readings.heading_reading({"one second": flat, "ten": wrong}, at)


def test_headings_are_found_only_where_nine_takes_of_ten_find_theirs():
    curve = pd.DataFrame(
        {"minute": [0.5, 1.0], "median_deg": [40.0, 12.0], "within_30": [50.0, 92.0], "takes": [10, 10]}
    )
    assert readings.found_reading(curve).endswith("the heading is found, from minute 1.0 on in 90 % of the takes.")
    lost = readings.found_reading(curve.assign(within_30=[50.0, 70.0]))
    assert "70 % within 30" in lost and "wrong heading" in lost


def test_a_region_is_too_sure_too_modest_or_right():
    text = readings.coverage_reading({"a": 60.0, "b": 90.0, "c": 99.0}).splitlines()
    assert [line.rsplit(": ")[-1] for line in text] == ["too sure of itself.", "as sure as it may be.", "too modest."]


def test_activities_stand_out_or_dont():
    rows = [("m", "test-seen", a, v) for a, v in (("walking", 60.0), ("acting", 50.0), ("idle", 20.0))]
    scores = pd.DataFrame(rows, columns=["method", "split", "activity", "success"])
    assert readings.activity_reading(scores, "m").endswith("walking seconds are found best and idle ones worst.")
    assert readings.activity_reading(scores.assign(success=40.0), "m").endswith("no activity stands out.")


def test_curves_cross_where_one_stays_below_the_other():
    minute = [0.5, 1.0, 1.5, 2.0]
    curves = {"map": pd.DataFrame({"minute": minute, "error_m": [1.0, 1.0, 1.0, 1.0]})}
    drifts = pd.DataFrame({"minute": minute, "error_m": [0.2, 0.9, 1.5, 2.0]})
    said = readings.crossing_reading(curves | {"steps": drifts}, "map", "steps")
    assert said.startswith("map stays nearer than steps from minute 1.5 on: 1.0 m against 0.2 m at first")
    assert "isn't nearer" in readings.crossing_reading(curves | {"steps": drifts.assign(error_m=0.5)}, "map", "steps")
    assert "from the start on" in readings.crossing_reading(
        curves | {"steps": drifts.assign(error_m=3.0)}, "map", "steps"
    )


def test_a_velocity_net_falls_short_fits_or_runs_ahead():
    def said(ratio):
        walking = {"rmse_mps": 0.3, "speed_ratio": ratio, "seconds": 50}
        return readings.velocity_reading({"walking": walking, "standing": walking | {"rmse_mps": 0.05}})

    assert "falls short: 50 %" in said(0.5) and "fits: 95 %" in said(0.95) and "runs ahead" in said(1.6)
    assert "nothing can be said" in said(float("nan"))


def test_margins_bounds_and_parts_say_what_their_verdicts_say():
    margin = Interval(5.0, 1.0, 9.0)
    assert readings.margin_reading("a", "b", {"test-seen": (margin, "better")}) == (
        "test-seen: a against b: 5.0 [1.0, 9.0] points, better."
    )
    assert "tells nothing" in readings.margin_reading("a", "b", {"s": (Interval(5.0, -1.0, 9.0), "can't tell")})
    bounds = pd.DataFrame({"split": ["s", "s"], "place": [20.0, 40.0], "unknown": [np.nan, np.nan]})
    means = pd.DataFrame({"split": ["s", "s"], "method": ["a", "b"], "SR@0.4m": [31.0, 30.0]})
    text = readings.bounds_reading(bounds, means, ("a", "b"), ("place", "unknown")).splitlines()
    assert text == ["s: a (31 %) is above place (30 %).", "s: b (30 %) is not above place (30 %)."]
    parts = {"w/o x": {"top1": "better", "SR": "can't tell"}, "w/o y": {"top1": "can't tell"}, "w/o z": {"SR": "worse"}}
    some, rest, none, worse = readings.parts_reading(parts).splitlines()
    assert rest == "w/o x: in SR it can't be told from full."
    assert "better in top1" in some and "can't be told from full, by top1" in none and "in the way" in worse
    theirs = {"w/o x": {"top1": 4.0, "SR": 1.5}, "w/o y": {"top1": -0.25}}
    some, rest, none, worse = readings.parts_reading(parts, paper=theirs).splitlines()
    assert rest.endswith("from full; the paper's differences there are +1.5 points.")
    assert some.endswith("some of the work; the paper's differences there are +4.0 points.")
    assert none.endswith("by top1; the paper's differences there are -0.2 points.") and "paper" not in worse


def test_ablations_agree_with_the_paper_contradict_it_or_say_nothing():
    rows = [(3.0, 4.0, "better"), (-1.0, 2.0, "can't tell"), (0.5, 1.0, "can't tell"), (9.0, np.nan, "better")]
    found = pd.DataFrame(rows, columns=["mean", "paper", "verdict"])
    assert readings.agreement_reading(found) == (
        "2 of 3 differences point where the paper's do; 1 can be told from zero: 1 agree with the paper, 0 contradict "
        "it."
    )
    against = found.assign(mean=-found["mean"], verdict=["worse", "better", "can't tell", "worse"])
    assert readings.agreement_reading(against).endswith(
        "2 can be told from zero: 1 agree with the paper, 1 contradict it."
    )
    nothing = readings.agreement_reading(found.assign(verdict="can't tell"))
    assert nothing.endswith("neither confirm the paper nor contradict it.")
    assert "no difference" in readings.agreement_reading(found.assign(paper=np.nan))


def test_constant_maps_flatter_only_where_they_do():
    rows = [("s", "ours", 80.0, 20.0), ("s", "habit", 85.0, 5.0)]
    means = pd.DataFrame(rows, columns=["split", "method", "RS", "SR@0.4m"])
    assert readings.flatter_reading(means, "ours", ("habit",)) == (
        "s: in RS habit (85 %) reaches ours (80 %); in success at 0.4 m no constant map reaches ours (20 %)."
    )


def test_a_classifier_flees_or_doesnt_and_a_lost_take_has_its_causes():
    assert "It flees: 100 %" in readings.collapse_reading([0, 1, 1], [2, 2, 2], ["a", "b", "c"])
    assert "It names 2 of 3 classes, “b” most often: 67 %" in readings.collapse_reading(
        [0, 1, 1], [0, 1, 1], ["a", "b", "c"]
    )
    assert readings.worst_take({"b": 3.0, "a": 3.0, "c": 9.0}) == "a"
    all_of_it = readings.failure_reading(120, 7.5, 7.8, 2, 6, 0.5)
    assert all_of_it.count(";") == 2 and "heading is wrong (median 120" in all_of_it and "point elsewhere" in all_of_it
    assert "nearly flat" in readings.failure_reading(10, 7.5, 7.8, 9, 6, float("nan"))
    assert "None of the usual causes" in readings.failure_reading(10, 4.0, 7.8, 30, 6, 0.95)
