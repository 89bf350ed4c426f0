"""Lungs slice by slice, against the method written in scikit-image and scikit-learn."""

import numpy as np

from lungseg.ops.lungs.slice2d import lungs_slice_by_slice


def literal(axial):
    """The recipe at 512 x 512, step by step as it is written down."""
    from skimage import measure, morphology
    from sklearn.cluster import KMeans

    image = (axial - axial.mean()) / axial.std()
    middle = image[100:400, 100:400]
    fit = KMeans(2, n_init=3, random_state=0).fit(middle.reshape(-1, 1))
    dark = np.where(image < fit.cluster_centers_.mean(), 1.0, 0.0)
    eroded = morphology.erosion(dark, np.ones([4, 4]))
    dilated = morphology.dilation(eroded, np.ones([10, 10]))
    labels = measure.label(dilated)
    mask = np.zeros(axial.shape)
    for region in measure.regionprops(labels):
        b = region.bbox
        if b[2] - b[0] < 475 and b[3] - b[1] < 475 and b[0] > 40 and b[2] < 472:
            mask[labels == region.label] = 1
    return morphology.dilation(mask, np.ones([10, 10])) > 0


def chest_slice(n=512):
    y, x = np.mgrid[:n, :n] / n
    hu = np.full((n, n), -1000.0)
    hu[((y - 0.5) / 0.3) ** 2 + ((x - 0.5) / 0.42) ** 2 < 1] = 40
    for centre in (0.3, 0.7):
        hu[((y - 0.48) / 0.2) ** 2 + ((x - centre) / 0.13) ** 2 < 1] = -850
    hu += np.random.default_rng(5).normal(0, 30, hu.shape)
    return np.round(hu).astype(np.int16)


def test_it_is_the_recipe():
    axial = chest_slice()
    expected = literal(axial.astype(float))
    found = lungs_slice_by_slice(axial[None])[0]
    assert expected.mean() > 0.1
    # KMeans stops short of the optimum by a fraction of a HU: a few pixels may differ.
    assert np.count_nonzero(found != expected) < 1e-4 * expected.size


def test_lengths_scale_with_the_slice_and_each_slice_stands_alone():
    large, small = chest_slice(), chest_slice(256)
    both = lungs_slice_by_slice(np.stack([large, large[::-1].copy()]))
    np.testing.assert_array_equal(both[0], lungs_slice_by_slice(large[None])[0])
    share = lungs_slice_by_slice(small[None])[0].mean()
    assert abs(share - both[0].mean()) < 0.01


def test_a_slice_of_one_value_has_no_lung():
    assert not lungs_slice_by_slice(np.full((1, 64, 64), 40, np.int16)).any()
