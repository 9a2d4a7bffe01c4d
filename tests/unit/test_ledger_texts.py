"""Strings that a database refuses are spelled so that it takes them, and come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.texts import restored, storable

ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=())) | st.text(
    alphabet="\0\ud800\udfff\ufdd0d80af"
)


@given(ANY_TEXT)
def test_every_string_comes_back(text: str) -> None:
    assert restored(storable(text)) == text


@given(ANY_TEXT)
def test_what_is_stored_is_utf8_without_nul(text: str) -> None:
    assert b"\0" not in storable(text).encode("utf-8")


@given(ANY_TEXT, ANY_TEXT)
def test_different_strings_stay_different(one: str, other: str) -> None:
    assert (storable(one) == storable(other)) == (one == other)


def test_usual_text_is_stored_as_it_is() -> None:
    assert storable("ünïcode 🐍 \\ %00") == "ünïcode 🐍 \\ %00"
