"""What PyTorch saved: whole models are pickles, state dicts can be read as weights only."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from exporter.errors import ConfigError, UnsafeArtifact
from exporter.materializers.on_disk import on_disk
from exporter.materializers.protocol import parsing
from exporter.materializers.raw import nothing, refused

if TYPE_CHECKING:
    from exporter.materializers.files import ArtifactFiles

# The names that ZenML gives, a whole object before the weights beside it.
_OBJECTS = ("entire_model.pt", "obj.pt", "entire_dataloader.pt")
_WEIGHTS = ("checkpoint.pt", "final_checkpoint.ckpt")
TORCH_FILES = (*_OBJECTS, *_WEIGHTS)
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt")

# Before it, a hostile file could execute code even where only weights were asked for.
# Source: https://nvd.nist.gov/vuln/detail/CVE-2025-32434 (closed in 2.6) and
# https://nvd.nist.gov/vuln/detail/CVE-2026-24747 (closed in 2.10)
_SAFE_VERSION = (2, 10)
# How torch.load(weights_only=True) says that a file holds more than weights; else it is broken.
_RAISED = (pickle.UnpicklingError, RuntimeError, AssertionError)
_REFUSALS = ("GLOBAL", "allowlisted", "must be imported", "TorchScript")


class TorchModelMaterializer:
    """Reads what PyTorch saved: a model or other object when trusted, weights without.

    `TorchModelMaterializer(state_dict=True)` reads the weights that ZenML writes beside a model.
    """

    def __init__(self, *, state_dict: bool = False) -> None:
        self._names = _WEIGHTS if state_dict else TORCH_FILES

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: any Python object
        """Load on the CPU; when trusted this executes code that whoever wrote the file chose.

        Raises: CorruptArtifact; UnsafeArtifact unless trusted, for all that is more than tensors,
        numbers and containers of them; ConfigError when torch is not installed.
        """
        path = files.find(*self._names, suffixes=TORCH_SUFFIXES)
        if path is None:
            raise nothing(files, "PyTorch file")
        name = dict(zip(files.sizes, files.names, strict=True))[path]
        if not trusted and name in _OBJECTS:
            raise _object_refused(files)
        with on_disk(files, {path: "value"}) as folder, parsing(files, "PyTorch file", *_RAISED):
            torch = _torch(trusted=trusted)
            try:
                return torch.load(folder / "value", map_location="cpu", weights_only=not trusted)
            except _RAISED as error:
                if not trusted and any(sign in str(error) for sign in _REFUSALS):
                    raise _object_refused(files) from error
                raise


def _torch(*, trusted: bool) -> Any:  # Any: a module without types here
    import torch

    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if not trusted and version < _SAFE_VERSION:
        raise ConfigError(
            f"torch {torch.__version__} cannot read weights of unknown origin safely.",
            hint="Install torch 2.10 or later, or call output.read(trusted=True) if you trust "
            "whoever wrote them.",
        )
    return torch


def _object_refused(files: ArtifactFiles) -> UnsafeArtifact:
    error = refused(files, "an object that PyTorch saved, which is a pickle")
    if "checkpoint.pt" in files.sizes:
        error.hint += " Its weights are read by TorchModelMaterializer(state_dict=True)."
    return error
