"""What may be exported in which form."""

import pytest

from lungseg.commands.sharing.wanted import Wanted
from lungseg.core.errors import ConfigError


@pytest.mark.parametrize(
    ("wanted", "name", "words"),
    [
        (Wanted("ct"), "a.seg.dcm", r"\.seg\.dcm holds lungs, nodules, .* and --what is ct"),
        (Wanted("votes"), "a.seg.dcm", "and --what is votes; take another --what, or .nii.gz"),
        (Wanted("lungs"), "a.sr.dcm", r"\.sr\.dcm holds detections, and --what is lungs"),
        (Wanted("lungs"), "a.mrk.json", r"\.mrk\.json holds detections, and --what is lungs"),
        (Wanted("lungs", "working"), "a.seg.dcm", "lies on the scan's own images; leave --grid"),
        (Wanted("readings"), "a.nii.gz", r"overlaps, .* take a name that ends in \.seg\.dcm"),
        (Wanted("lungs"), "a.dcm", r"a\.dcm: expected a name that ends in .*\.seg\.dcm"),
    ],
)
def test_a_form_that_does_not_hold_it_is_refused_in_words(wanted, name, words):
    with pytest.raises(ConfigError, match=words):
        wanted.check_form(name)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("lungs", "a.seg.dcm"), ("readings", "a.seg.dcm"), ("probability", "a.seg.dcm"),
        ("detections", "a.sr.dcm"), ("detections", "a.mrk.json"), ("ct", "a.nii.gz"),
    ],
)  # fmt: skip
def test_a_form_that_holds_it_is_taken(what, name):
    Wanted(what).check_form(name)
