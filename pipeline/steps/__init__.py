"""Bodies of stages that read several kinds of file and decide: below stages, above io and ops."""
