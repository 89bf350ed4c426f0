"""Scalars for TensorBoard, written without it: event files as TFRecords of protobuf messages.

The format is that of tensorflow/core/util/event.proto and of tensorflow/core/lib/io/record_writer:
each record is its length, a masked CRC-32C of that, the message, and a masked CRC-32C of that.
"""

import struct
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8


class EventFile:
    """An event file in `folder`, to which rows of scalars are added one step at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.lungseg"
        # The first event says which version of the format follows.
        self.path.write_bytes(_record(_event(0, _bytes(3, b"brain.Event:2"))))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add one row, at once on disk."""
        values = (
            _bytes(1, _bytes(1, name.encode()) + b"\x15" + struct.pack("<f", value))
            for name, value in scalars.items()
        )
        with self.path.open("ab") as file:
            file.write(_record(_event(step, _bytes(5, b"".join(values)))))


def _event(step: int, what: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + what


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + _masked(length) + message + _masked(message)


def _masked(content: bytes) -> bytes:
    table, crc = _table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _MASK) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        entries.append(crc)
    return tuple(entries)
