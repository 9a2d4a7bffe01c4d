"""Hypothesis strategies for histories: every record, with the oddest values a source can hold."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from exporter.hierarchy import (
    Artifact,
    Content,
    FileRecord,
    Parameter,
    PipelineRecord,
    Port,
    RunSnapshot,
    Step,
    StepRef,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from exporter.hierarchy import ContentState
    from exporter.hierarchy.records import PortOrder

NASTY = (
    "a/b",
    "..",
    "a#b?c=d&e",
    'it\'s "quoted"',
    "`; DROP TABLE runs; --",
    "%2F%00",
    "\0",
    "tab\tand\nline",
    "\ud800 lone",
    "🦊" * 20,
    "x" * 300,
    "é" * 300,
    "e\u0301 is not é",
    "\u202edesrever",
    " leading and trailing ",
    "<script>alert(1)</script>",
    "CON",
    "C:\\temp",
    "1.0",
    "null",
)
STATUSES = ("completed", "cached", "failed", "running", "unknown", "cancelled", "skipped")
STATES: tuple[ContentState, ...] = (
    "copied", "referenced", "too_large", "refused", "missing", "corrupt",
)  # fmt: skip
ORDERS: tuple[PortOrder, ...] = ("declared", "artifact_id")


def _joined(text: str) -> str:
    """Join surrogate pairs into the character they are: no source delivers a pair as two."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@cache  # building a strategy costs more than drawing from it
def odd_text(*, min_size: int = 0) -> SearchStrategy[str]:
    """Any text a store can hold: quotes, slashes, NUL, lone surrogates, emoji, 300 characters."""
    anything = st.text(st.characters(exclude_categories=()), min_size=min_size, max_size=12)
    plain = st.text("abcdefgh_0123", min_size=max(min_size, 1), max_size=8)
    return st.one_of(plain, st.sampled_from(NASTY), anything.map(_joined))


@cache
def times() -> SearchStrategy[int | None]:
    """Milliseconds since the epoch: ordinary ones, none, and those that no calendar holds."""
    ordinary = st.integers(1_600_000_000_000, 1_900_000_000_000)
    return st.one_of(ordinary, st.none(), st.integers(-(2**62), 2**62))


@cache
def values() -> SearchStrategy[Value]:
    """Values of each type that JSON and MLMD know, with NaN, infinities and huge integers."""
    scalars: SearchStrategy[Value] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(10**60), 10**60),
        st.floats(),
        odd_text(),
        st.binary(max_size=20),
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(odd_text(), inner, max_size=3)
        ),
        max_leaves=6,
    )


@cache
def parameters() -> SearchStrategy[tuple[Parameter, ...]]:
    """Parameters in source order; a name may come once declared and once custom."""
    one = st.builds(
        Parameter,
        name=odd_text(),
        value=values(),
        text=st.one_of(st.none(), odd_text()),
        declared=st.booleans(),
    )
    distinct = st.lists(one, max_size=4, unique_by=lambda p: (p.name, p.declared))
    return distinct.map(tuple)


_TEXT = odd_text()
_NAME = odd_text(min_size=1)
_MAYBE_TEXT = st.none() | _TEXT
_STATUS = st.sampled_from(STATUSES)
_ORDER = st.sampled_from(ORDERS)
_SEQ = st.integers(0, 2**40)
_DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
_FILE = st.builds(FileRecord, path=_TEXT, size=_SEQ, sha256=_DIGEST)
_FILES = st.lists(_FILE, max_size=3, unique_by=lambda file: file.path)
_REFERENCE = st.none() | st.builds(StepRef, pipeline=_TEXT, run=_TEXT, step=_TEXT, source_id=_TEXT)
_TYPE = st.sampled_from(["DataArtifact", "Model", "Float"]) | _TEXT
_STATE = st.none() | st.sampled_from(["live", "published"])
_CONTENT_STATE = st.sampled_from(STATES)
_SIZE = st.none() | _SEQ
_DECLARED = st.lists(_TEXT, max_size=2)
_NAMES = st.lists(_NAME, max_size=3, unique=True)
_TOOL = st.sampled_from(["zenml", "tfx", "kfp"])
_FLAVOUR = st.sampled_from(["zenml-0.5", "zenml-0.6", "tfx"])
_COUNT = st.integers(0, 4)


@st.composite
def contents(draw: DrawFn) -> Content:
    """Draw what became of an artifact's bytes, digests only where copied."""
    state = draw(_CONTENT_STATE)
    if state != "copied":
        return Content(state, None, draw(_SIZE))
    files = draw(_FILES)
    return Content(state, draw(_DIGEST), sum(f.size for f in files), tuple(files))


_CONTENT = contents()
_MAYBE_CONTENT = st.none() | _CONTENT


@st.composite
def artifacts(draw: DrawFn, artifact_id: str, *, with_content: bool = True) -> Artifact:
    """Draw an artifact of the given id."""
    return Artifact(
        id=artifact_id,
        type=draw(_TYPE),
        uri=f"/data/{draw(_TEXT)}",
        name=draw(_MAYBE_TEXT),
        state=draw(_STATE),
        data_type=draw(_MAYBE_TEXT),
        materializer=draw(_MAYBE_TEXT),
        properties=draw(parameters()),
        producer=draw(_REFERENCE),
        created=draw(times()),
        content=draw(_MAYBE_CONTENT) if with_content else None,
    )


@st.composite
def steps(draw: DrawFn, position: int, artifact_ids: Sequence[str]) -> Step:
    """Draw a step that takes and gives any of the artifacts and follows earlier steps."""
    parents = draw(
        st.lists(st.integers(0, position - 1), max_size=2, unique=True) if position else st.just([])
    )
    return Step(
        name=draw(_NAME),
        source_id=f"s{position}",
        entrypoint=draw(_TEXT),
        status=draw(_STATUS),
        type=draw(_TEXT),
        attempt=position + 1,  # so that equal names never make equal identities
        start=draw(times()),
        end=draw(times()),
        docstring=draw(_MAYBE_TEXT),
        parameters=draw(parameters()),
        facts=draw(parameters()),
        inputs=draw(ports(artifact_ids, parents)),
        outputs=draw(ports(artifact_ids, [])),
        inputs_order=draw(_ORDER),
        outputs_order=draw(_ORDER),
        parents=tuple(sorted(parents)),
        declared_outputs=tuple(draw(_DECLARED)),
    )


@st.composite
def ports(draw: DrawFn, artifact_ids: Sequence[str], parents: Sequence[int]) -> tuple[Port, ...]:
    """Draw ports of distinct names, some of them lists of artifacts."""
    if not artifact_ids:
        return ()
    found: list[Port] = []
    for name in draw(_NAMES):
        chosen = draw(st.lists(st.sampled_from(artifact_ids), min_size=1, max_size=3))
        parent = draw(st.sampled_from([None, *parents]))
        cached = draw(st.booleans())
        single = len(chosen) == 1 and draw(st.booleans())
        found += [
            Port(name, artifact, None if single else index, cached, parent)
            for index, artifact in enumerate(chosen)
        ]
    return tuple(found)


@st.composite
def runs(
    draw: DrawFn,
    *,
    repository: str | None = None,
    stack: str | None = None,
    pipeline: PipelineRecord | None = None,
    name: str | None = None,
    seq: int | None = None,
    source_id: str | None = None,
    with_content: bool = True,
) -> RunSnapshot:
    """Draw a run; what is given is taken as it is."""
    pool = [f"a{number}" for number in range(draw(_COUNT))]
    drawn_steps = [draw(steps(position, pool)) for position in range(draw(_COUNT))]
    mentioned = dict.fromkeys(
        port.artifact for step in drawn_steps for port in (*step.inputs, *step.outputs)
    )
    if pipeline is None:
        pipeline = PipelineRecord(draw(_NAME), draw(_COUNT), "p1", draw(_MAYBE_TEXT))
    return RunSnapshot(
        repository=draw(_NAME) if repository is None else repository,
        stack=draw(_NAME) if stack is None else stack,
        tool=draw(_TOOL),
        flavour=draw(_FLAVOUR),
        pipeline=pipeline,
        name=draw(_NAME) if name is None else name,
        seq=draw(_SEQ) if seq is None else seq,
        source_id=draw(_NAME) if source_id is None else source_id,
        status=draw(_STATUS),
        start=draw(times()),
        end=draw(times()),
        changed=draw(times()),
        run_stack=draw(_MAYBE_TEXT),
        facts=draw(parameters()),
        steps=tuple(drawn_steps),
        artifacts=tuple(draw(artifacts(i, with_content=with_content)) for i in mentioned),
    )


@st.composite
def histories(
    draw: DrawFn, *, repository: str = "acme", stack: str = "local", max_runs: int = 4
) -> tuple[list[PipelineRecord], list[RunSnapshot]]:
    """Draw one stack: pipelines, some without runs, and runs of distinct names."""
    names = draw(st.lists(odd_text(min_size=1), min_size=1, max_size=3, unique=True))
    pipelines = [PipelineRecord(name, seq, f"p{seq}") for seq, name in enumerate(names)]
    run_names = draw(st.lists(odd_text(min_size=1), max_size=max_runs, unique=True))
    return pipelines, [
        draw(
            runs(
                repository=repository,
                stack=stack,
                pipeline=draw(st.sampled_from(pipelines)),
                name=name,
                seq=seq,
                source_id=f"r{seq}",
                with_content=False,
            )
        )
        for seq, name in enumerate(run_names)
    ]
