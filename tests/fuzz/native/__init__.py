"""Fuzz targets of the C code, and how they are built."""
