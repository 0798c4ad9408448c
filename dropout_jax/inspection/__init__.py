"""Files of any networks: read as tensors, told apart as kernels, measured.

Public is `measures`.

`measures` has `inspect`. `tensors` reads a file, `conversion` says how files of other formats are
converted, and `kernels` finds the layers. `spread` and `size` measure one layer, `groups` compares
files, and `laws` gives references. `results` has warnings, sizes of whole networks, and the rows of
a table.
"""
