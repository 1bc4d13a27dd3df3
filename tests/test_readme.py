"""The numbers of README and of SynthKitchen's card are the ledger's."""

import pytest

from benchmarks.readme import documents, filled


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_text_says_what_the_ledger_holds(path):
    text, contents = path.read_text(encoding="utf-8"), documents()[path]
    assert all(f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text for name in contents)
    assert filled(text, contents) == text, "run `python -m benchmarks.readme`"
    assert all(content in text for content in contents.values())
