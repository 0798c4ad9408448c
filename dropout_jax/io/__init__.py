"""Readers that trust no file, and writers that leave no file half-written.

All of it is private.
"""
