"""The commands of `dropout-jax`, the only room that prints.

`main` reads a command line. `arguments`, `expectations` and `conditions` understand it before JAX
is loaded; `backend` starts JAX. `train` (with `jobs`, `interrupts`), `inspect` and `diagnose` (with
`doctor`, `pace`) are the commands. What they cannot do is `refused`; what they find is drawn by
`tables` and `file_tables`, and printed by `terminal`.
"""
