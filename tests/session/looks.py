"""A look for scans that is kept at once, as a command that runs keeps it."""

from lungseg.session.scans import look


def look_at(work, roots, rules, **more):
    """What was found: scans, and what is none."""
    looked = look(work, roots, rules, **more)
    looked.keep(work)
    return looked.sources, looked.left_out
