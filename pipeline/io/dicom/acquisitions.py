"""What tells one acquisition of a series from another: its number, phase, time and kernel."""

import hashlib

from lungseg.io.dicom import header as dh


def acquisition_of(header: dh.Header) -> str:
    """AcquisitionNumber, TemporalPositionIdentifier, time and kernel, with backslashes between.

    Time and kernel are told as short digests, that show what is equal and nothing else: a time of
    day is a patient's own affair.
    """
    time = header.text(dh.ACQUIRED) or header.text(dh.ACQUIRED_TIME)
    numbers = [header.text(tag) for tag in (dh.ACQUISITION, dh.TEMPORAL)]
    numbers = [str(int(text)) if text.isdecimal() else _digest(text) for text in numbers]
    return "\\".join([*numbers, _digest(time), _digest(header.text(dh.KERNEL))])


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest() if text else ""
