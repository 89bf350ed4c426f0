"""Parts of stages that read files of several kinds and decide: below stages, above io and ops."""
