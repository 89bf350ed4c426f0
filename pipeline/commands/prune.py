"""Prune: name or remove the outputs that the present settings and scans do not use."""

import shutil
from collections.abc import Iterator

from lungseg import flow
from lungseg.session.work_folder import Session


def prune(session: Session, *, really: bool) -> Iterator[str]:
    """Name, and if `really` remove, every output that a run with these settings would not reuse.

    Outputs of scans that the last ``--src`` did not name are among them.
    """
    actions = session.plan([stage.name for stage in flow.FLOW])
    used = {session.store.folder(a.stage, a.fingerprint, a.scan) for a in actions}
    freed = count = 0
    for pattern in ("scans/*/*/*/stage.json", "dataset/*/*/stage.json"):
        for record in sorted(session.work.glob(pattern)):
            folder = record.parent
            if folder in used:
                continue
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            freed, count = freed + size, count + 1
            yield f"{size / 1e6:8.1f} MB  {folder}"
            if really:
                shutil.rmtree(folder)
    verb = "freed" if really else "would be freed; --yes removes them"
    yield f"{count} outputs, {freed / 1e6:.1f} MB {verb}"
