"""Ways in which files of a work folder come to harm, for tests: one at a time, by a seeded draw."""

import os
import shutil

HARMS = ("flip", "rot", "cut", "empty", "delete", "swap", "swap folders")


def harm(kind, path, others, rng):
    """Do one kind of harm to the file `path`; `others` are files that it may be swapped with."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    if kind in {"flip", "rot"} and data:
        place = int(rng.integers(len(data) * 8))
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        if kind == "rot":  # as a disk does it: no time tells of it
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif kind == "cut":
        path.write_bytes(data[: int(rng.integers(len(data) + 1))])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "delete":
        path.unlink()
    elif kind in {"swap", "swap folders"} and others:
        other = others[int(rng.integers(len(others)))]
        one, two = (path, other) if kind == "swap" else (path.parent, other.parent)
        if one != two:
            aside = one.with_name(f"{one.name}.aside")
            one.rename(aside)
            two.rename(one)
            aside.rename(two)


def alike(path, files):
    """Files with the name of `path` in other folders."""
    return [other for other in files if other.name == path.name and other.parent != path.parent]


def fresh_copy(pristine, work):
    """`work` as it was before any harm, with all its times."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(pristine, work)
