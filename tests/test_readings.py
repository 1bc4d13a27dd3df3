"""Sentences that notebooks print under a number: one for a result that works, another for one that doesn't."""

from __future__ import annotations

import pytest

from eailkit.eail.readings import CLEARLY, RULE, alike_reading, rule_reading, walk_reading


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
    works = dict.fromkeys(RULE, "better") | {"IMU alone": "can't tell"}
    assert rule_reading(works, "test-seen").startswith(
        "test-seen: it works by the rule, better than chance, free space"
    )
    fails = works | {"training occupancy": "can't tell", "EAIL, another take's IMU": "worse"}
    text = rule_reading(fails, "test-seen")
    assert (
        "can't be said to work, for want of training occupancy (can't tell) and EAIL, another take's IMU (worse)."
        in text
    )
    assert text.endswith("It is better than chance and free space.")
    nothing = rule_reading(dict.fromkeys(RULE, "on par"), "test-unseen")
    assert "better than" not in nothing and nothing.count("on par") == len(RULE)
    with pytest.raises(KeyError):
        rule_reading({"chance": "better"}, "test-seen")
