"""The report: what a work folder holds, as pages that open from disk in any browser."""
