"""One epoch of training: its samples, the fit, what is validated, false alarms for the next."""
