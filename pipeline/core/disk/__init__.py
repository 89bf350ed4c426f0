"""Bytes on the disk: written whole, compared with what was meant, and known again when read."""
