"""The kit for authors of materializers finds each promise that one does not keep."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import CorruptArtifact, UnsafeArtifact
from exporter.testing import check_materializer

if TYPE_CHECKING:
    from exporter.materializers.files import ArtifactFiles

FILES = {"value.json": b'{"a": 1}'}


class Sound:
    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: a JSON value
        path = files.find("value.json")
        if path is None:
            raise CorruptArtifact("There is no value.json.")
        try:
            return json.loads(files.read(path))
        except ValueError as error:
            raise CorruptArtifact("It is no JSON.") from error


class Bare(Sound):
    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: a JSON value
        return json.loads(files.read("value.json"))


class Writing(Sound):
    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: a JSON value
        (Path(files.artifact.uri) / "cache").write_text("x", encoding="utf-8")
        return super().read(files)


class Leaking(Sound):
    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: a JSON value
        self.stream = files.open("value.json") if files.find("value.json") else None
        return super().read(files)


class Counting(Sound):
    def __init__(self) -> None:
        self.turn = 0

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: a JSON value
        self.turn += 1
        return {**super().read(files), "a": self.turn}


class Careless:
    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: whatever it is
        return pickle.loads(files.read("value.json"))  # noqa: S301 - careless on purpose


class Pickled:
    """Refuses, and says nothing of what it lacks."""

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: whatever it is
        path = files.find("model")
        if path is None:
            raise CorruptArtifact("There is no model.")
        if not trusted:
            raise UnsafeArtifact("It is a pickle.")
        try:
            return pickle.loads(files.read(path))  # noqa: S301 - trusted
        except (pickle.UnpicklingError, EOFError, LookupError, ValueError) as error:
            raise CorruptArtifact("It is no pickle.") from error


def test_one_that_keeps_them_all_passes() -> None:
    check_materializer(Sound, FILES, expected={"a": 1})
    check_materializer(Sound(), FILES, expected={"a": 1})
    check_materializer(Pickled, {"model": pickle.dumps([1])}, expected=[1], executes=True)


@pytest.mark.parametrize(
    ("materializer", "told"),
    [
        (Bare, r"on no files it raised MissingArtifact"),
        (Bare, r"on empty files it raised JSONDecodeError"),
        (Bare, r"cut off at 50% it raised JSONDecodeError"),
        (Writing, "changed the artifact's files"),
        (Leaking, "left a file open"),
        (Counting, r"the second reading gave \{'a': 2\}"),
        (Careless, "without trust it executed a pickle"),
    ],
)
def test_a_promise_that_is_not_kept_is_named(materializer: type, told: str) -> None:
    with pytest.raises(AssertionError, match=f"{materializer.__name__} does not keep") as caught:
        check_materializer(materializer, FILES, expected={"a": 1})
    caught.match(told)


def test_a_wrong_value_is_shown_beside_the_right_one() -> None:
    with pytest.raises(AssertionError, match=r"gave \{'a': 1\}, not \{'a': 2\}"):
        check_materializer(Sound, FILES, expected={"a": 2})


def test_a_format_that_executes_and_does_not_ask_for_trust_is_told() -> None:
    with pytest.raises(AssertionError, match=r"without trust it gave .*, not UnsafeArtifact"):
        check_materializer(Sound, FILES, expected={"a": 1}, executes=True)


def test_a_missing_package_must_be_named() -> None:
    with pytest.raises(AssertionError, match="without sklearn it gave"):
        check_materializer(Sound, FILES, expected={"a": 1}, package="sklearn")


def test_what_cannot_read_is_no_materializer() -> None:
    with pytest.raises(AssertionError, match="no method read"):
        check_materializer(int, FILES, expected=1)  # type: ignore[arg-type]  # the point of the test


def test_the_example_in_the_documentation_keeps_the_promises() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    own = page[page.index("### Your own") :]
    blocks = [part.partition("```")[0] for part in own.split("```python\n")[1:3]]
    names: dict[str, Any] = {}  # Any: what the page defines
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own documentation
    names["test_lines_are_read"]()
