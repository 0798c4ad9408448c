"""One network: the settings of its training, one step, whole epochs, and evaluation.

Public are `config`, `objectives`, `schedules`, `step`, `epochs` and `evaluation`.

`config` has the settings, and the usual optimizer. `checks` and `examples` refuse bad settings, and
data that do not fit, before the training. `step` has the step of the optimizer. `epochs` trains for
an epoch, in `batches`, or for all of them (`fit`), and `evaluation` has the metrics. `objectives`
are losses and errors; `schedules` change the rates along training.
"""
