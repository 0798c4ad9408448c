"""One network: the settings of its training, one step, and from epoch to epoch.

Public are `config`, `objectives`, `schedules`, `step` and `epochs`.
"""
