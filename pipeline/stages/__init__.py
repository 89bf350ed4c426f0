"""One file a stage: its params, a pure function, a thin run(), STAGE."""
