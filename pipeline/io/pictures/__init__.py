"""2-D pictures: PNG, pairs of picture and mask, single X-rays and slices."""
