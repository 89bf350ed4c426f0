"""What a run leaves for people and other programs: candidates, scores, plots, training logs."""
