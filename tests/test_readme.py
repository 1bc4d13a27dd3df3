"""README's numbers are the ledger's."""

from benchmarks.readme import README, filled, parts


def test_readme_says_what_the_ledger_holds():
    text = README.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text for name in parts())
    assert all(content in text for content in parts().values())
    assert filled(text) == text, "run `python -m benchmarks.readme`"
