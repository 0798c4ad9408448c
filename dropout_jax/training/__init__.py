"""One network: the settings of its training, one step, and from epoch to epoch.

Public are `config`, `objectives`, `schedules`, `step` and `epochs`.

`config` has the settings; `checks` and `examples` refuse bad ones, and data that do not fit, before
the training. `step` has the step of the optimizer. `epochs` goes through the `batches` of an epoch,
and through all epochs (`fit`). `objectives` has losses and errors; `schedules` change the rates
along training.
"""
