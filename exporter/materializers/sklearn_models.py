"""Models of scikit-learn, which are pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.materializers.raw import PICKLE_FILES, PICKLE_SUFFIXES, nothing, refused, unpickling

if TYPE_CHECKING:
    from exporter.materializers.files import ArtifactFiles

_FILES = (*PICKLE_FILES, "model.pkl", "model.joblib")
JOBLIB_SUFFIXES = (".joblib", ".joblib.gz", ".joblib.z", ".joblib.xz", ".joblib.bz2")


class SklearnModelMaterializer:
    """Reads a scikit-learn model, when trusted: written by pickle, cloudpickle or joblib."""

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: any estimator
        """Give the model, which executes code that whoever wrote the file chose.

        Raises: CorruptArtifact; UnsafeArtifact unless trusted; ConfigError when scikit-learn, or
        whatever else the model is made of, is not installed.
        """
        path = files.find(*_FILES, suffixes=(*PICKLE_SUFFIXES, *JOBLIB_SUFFIXES))
        if path is None:
            raise nothing(files, "scikit-learn model")
        if not trusted:
            raise refused(files, "a scikit-learn model, which is a pickle")
        with files.open(path) as stream, unpickling(files):
            import joblib

            return joblib.load(stream)  # plain pickles too
