"""Arrays on grids, whatever they show: resampling, cropping, slices, morphology, histograms."""
