"""The commands of `dropout-jax`, the only room that prints.

All of it is private: what may be relied on are the commands.

`main` reads a command line. `arguments`, `checks` and `conditions` understand it before JAX is
loaded; `backend` starts JAX. The commands are `train` (with `jobs`, `interrupts`), `inspect`,
`doctor` (with `pace`) and `saved`; they end early by `errors`. What they find is drawn
by `tables`, `run_tables`, `file_tables` and `file_pictures`, and printed by `terminal`.
"""
