"""Asking a lung net about a scan: which net, and what it says."""

from pathlib import Path

from lungseg.core.errors import DataError
from lungseg.core.limits import check_memory
from lungseg.model.inference import load_net
from lungseg.model.lung_net.network import likely_lungs
from lungseg.model.model_record import read_model_record
from lungseg.model.nets import SUFFIX, TRAINED
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.volume import F32

TARGET = "lungs without air"
"""What a lung net's record says that it finds."""

SHIPPED = TRAINED / f"ct-lungs{SUFFIX}"
# Keras with its backend, and the answers of all levels.
NEEDED_BYTES = 1.2e9


def ask(seen: Blocks, file: Path = SHIPPED) -> F32:
    """Probability of right and of left lung, ``(2, z, y, x)``, in each block of a scan.

    Parameters
    ----------
    seen
        The scan; its mask does not matter.
    file
        The lung net.

    Raises
    ------
    DataError
        If the file is no lung net.
    LimitError
        If memory is too small.
    """
    record = read_model_record(file)
    if record.target != TARGET:
        raise DataError(
            f"{file} finds {record.target} in {record.kind}; expected a lung net, or none, for the "
            "one that comes with the package"
        )
    check_memory(NEEDED_BYTES, "asking the lung net")
    return likely_lungs(load_net(file), seen.hu)
