"""Readers that trust no file, and writers that leave no file half-written.

All of it is private.

`readers` takes arrays from files of any origin, `writers` writes tables, tensors and settings, and
`figures` pictures. `environment` tells versions and machine.
"""
