"""Whether a scan's files can be read just now: only then is what they hold known."""

from pathlib import Path

from lungseg.io.sources.index import Source
from lungseg.io.volumes import headers

_CHUNK = 1 << 20


def unreadable(source: Source) -> str:
    """Which file of a source cannot be read to its end just now, and why; empty if all can."""
    for name in source.files:
        data = headers.data_file_of(Path(name)) if source.kind != "dicom" else None
        for path in (Path(name), *([data] if data is not None else [])):
            try:
                with path.open("rb", buffering=0) as file:
                    while file.read(_CHUNK):
                        pass
            except OSError as error:
                return f"{path} cannot be read ({error.strerror or error})"
    return ""
