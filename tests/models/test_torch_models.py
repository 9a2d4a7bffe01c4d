"""PyTorch models, trained, written into a store, read back and loaded by MLflow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.mlflow_models import lay_out
from support.model_stores import WrittenModel, open_models

from exporter import CorruptArtifact, TorchModelMaterializer, UnsafeArtifact
from exporter.hierarchy import Artifact
from exporter.testing import check_materializer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.models

ROWS = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]
MODULE = "pytorch.materializers.pytorch_materializer.PyTorchMaterializer"


@pytest.fixture(scope="module")
def trained() -> Any:  # Any: a PyTorch module
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    rows = torch.tensor(ROWS)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(rows), rows.sum(dim=1, keepdim=True)).backward()
        optimizer.step()
    return model.eval()


def _saved(value: object) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def files(trained: Any) -> dict[str, bytes]:
    """Give the files of the model as ZenML writes them."""
    return {"checkpoint.pt": _saved(trained.state_dict()), "entire_model.pt": _saved(trained)}


def _answer(model: Any) -> list[list[float]]:  # Any: a PyTorch module
    import torch

    with torch.no_grad():
        answer: list[list[float]] = model(torch.tensor(ROWS)).tolist()
    return answer


def _same_weights(value: Any, expected: Any) -> bool:  # Any: state dicts
    return list(value) == list(expected) and all((value[k] == expected[k]).all() for k in expected)


def test_a_model_in_a_store_predicts_as_it_did(
    trained: Any, files: dict[str, bytes], tmp_path: Path
) -> None:
    written = WrittenModel(files, "torch.nn.modules.container.Sequential", MODULE)
    with open_models(tmp_path, {"trainer": written}) as repository:
        output = repository.get_pipeline("train").get_runs()[-1].get_step("trainer").output
        with pytest.raises(UnsafeArtifact, match=r"TorchModelMaterializer\(state_dict=True\)"):
            output.read()
        assert _answer(output.read(trusted=True)) == _answer(trained)
        read = output.read(materializer=TorchModelMaterializer, trusted=True)
        assert _answer(read) == _answer(trained)
        weights = output.read(materializer=TorchModelMaterializer(state_dict=True))
        assert _same_weights(weights, trained.state_dict())


def test_a_whole_model_is_read_by_the_rules(trained: Any, files: dict[str, bytes]) -> None:
    check_materializer(
        TorchModelMaterializer,
        files,
        expected=trained,
        same=lambda value, expected: _answer(value) == _answer(expected),
        executes=True,
        package="torch",
    )


@pytest.mark.parametrize("name", ["checkpoint.pt", "weights.pth", "last.ckpt"])
def test_weights_alone_are_read_by_the_rules_without_trust(
    trained: Any, files: dict[str, bytes], name: str
) -> None:
    check_materializer(
        TorchModelMaterializer,
        {name: files["checkpoint.pt"]},
        expected=trained.state_dict(),
        same=_same_weights,
        package="torch",
    )


def test_a_checkpoint_that_holds_more_than_weights_is_refused(files: dict[str, bytes]) -> None:
    from support.fake_history import FakeArtifacts

    from exporter.materializers.files import ArtifactFiles

    artifact = Artifact("1", "ModelArtifact", "/data/model")
    whole = {"checkpoint.pt": files["entire_model.pt"]}
    opened = ArtifactFiles(FakeArtifacts({artifact.uri: whole}), artifact)
    with pytest.raises(UnsafeArtifact, match="trusted=True"):
        TorchModelMaterializer().read(opened)
    several = {"a.pt": files["checkpoint.pt"], "b.pt": files["checkpoint.pt"]}
    opened = ArtifactFiles(FakeArtifacts({artifact.uri: several}), artifact)
    with pytest.raises(CorruptArtifact, match="2 candidates"):
        TorchModelMaterializer().read(opened)


def test_mlflow_loads_it_by_its_flavour(
    trained: Any, files: dict[str, bytes], tmp_path: Path
) -> None:
    import mlflow.pyfunc
    import mlflow.pytorch

    plan = lay_out(tmp_path, Artifact("1", "ModelArtifact", "/data/model"), files)
    assert plan.model_type == "pytorch"
    assert _answer(mlflow.pytorch.load_model(str(tmp_path))) == _answer(trained)
    generic = mlflow.pyfunc.load_model(str(tmp_path))
    answer = generic.predict(np.array(ROWS, dtype="float32"))
    assert np.allclose(answer, _answer(trained))
