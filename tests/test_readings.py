"""Sentences that notebooks print under a number: one for a result that works, another for one that doesn't."""

from __future__ import annotations

import pytest

from eailkit.eail.readings import CLEARLY, CONSTANT_PLACE, RULE, alike_reading, rule_reading, walk_reading


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
