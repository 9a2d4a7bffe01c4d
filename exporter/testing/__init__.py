"""For authors of materializers: check that one keeps the promises that `output.read()` makes.

::

    from exporter.testing import check_materializer

    def test_lines_are_read():
        check_materializer(Lines, {"lines.txt": b"a b"}, expected=["a b"], any_bytes=True)

It needs no test framework, and knows nothing of stores: files come from a temporary folder.
"""

from exporter.testing.conformance import check_materializer
from exporter.testing.folders import FolderFiles

__all__ = ["FolderFiles", "check_materializer"]
