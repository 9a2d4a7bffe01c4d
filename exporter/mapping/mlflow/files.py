"""Every file that MLflow is to hold of a unit, whatever it is made from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from exporter.mapping.mlflow.tables import DESCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import FileRecord
    from exporter.mapping.mlflow.plans import UnitPlan, Upload


class PlannedFile(NamedTuple):
    """A file under the artifact root of the run that stands for `key`.

    Its bytes are `content`, or those of `file` of the artifact of `upload`. Without either it
    describes that artifact: `size` and `sha256` are None, the plan does not know its bytes.
    """

    key: str
    path: str
    size: int | None
    sha256: str | None
    content: bytes | None = None
    upload: Upload | None = None
    file: FileRecord | None = None

    @property
    def is_derived(self) -> bool:
        """Tell whether the exporter made the file, and copied it from nowhere."""
        return self.file is None


def planned_files(plan: UnitPlan) -> Iterator[PlannedFile]:
    """Give the copies of artifacts, then what the exporter itself made of the unit."""
    for upload in plan.uploads:
        for file, path in zip(upload.files, upload.paths, strict=True):
            yield PlannedFile(
                upload.step_key, path, file.size, file.sha256, upload=upload, file=file
            )
        for name in DESCRIPTIONS if upload.derived else ():
            path = f"{upload.derived}/{name}"
            yield PlannedFile(upload.step_key, path, None, None, upload=upload)
    made = dict(plan.pages)
    if plan.record_file is not None:
        path, content = plan.record_file
        made[path] = content
    for path, content in made.items():
        digest = hashlib.sha256(content).hexdigest()
        yield PlannedFile(plan.unit, path, len(content), digest, content)
