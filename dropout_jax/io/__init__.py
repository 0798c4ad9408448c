"""Readers that trust no file, and writers that leave none half-written."""
