"""What is remembered on disk is as it was, and gone in the end."""

from __future__ import annotations

from contextlib import closing

from exporter.sync.on_disk import OnDisk


def test_texts_of_any_kind_are_kept_until_the_end() -> None:
    odd = {"": "", "nul \0": "a\nb", "lone \udcff": "\udcff", "'; DROP TABLE kept": "🐍"}
    with closing(OnDisk()) as kept:
        assert kept.recall(["x"]) == {}
        kept.keep(odd)
        kept.keep({"": "newer"})
        assert kept.recall([*odd, "x"]) == {**odd, "": "newer"}
        kept.close()
        assert kept.recall(odd) == {}
