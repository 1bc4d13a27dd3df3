"""The simulator is frozen: what it makes changes only with its version."""

from __future__ import annotations

from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION, code_digest, physics_hash

FROZEN = {"2": "ce78d6a0a7397ec4"}  # version -> physics_hash()[:16]


def test_a_change_of_physics_is_a_new_version():
    """If this fails, results and weights of the old version are void: raise SYNTHKITCHEN_VERSION and add its hash."""
    assert FROZEN[SYNTHKITCHEN_VERSION] == physics_hash()[:16]


def test_comments_and_docstrings_are_no_physics_and_numbers_are():
    bare = "def f(x):\n    return 2.0 * x\n"
    told = 'def f(x):\n    """Twice."""\n    # by two\n    return (\n        2.0 * x\n    )\n'
    assert code_digest(bare) == code_digest(told) != code_digest(bare.replace("2.0", "2.5"))
