"""The MLP in Flax Linen and in NNX, and a Dropout layer with a rate that may be traced.

Public are `mlp`, `linen`, `nnx` and `protocol`.

`mlp` is the network under study. `linen` has a Dropout layer for Linen, `nnx` the MLP and Dropout
for NNX; `flax_dropout` is what the two layers share. `protocol` says what any other network needs;
`calls` checks and calls a network of any kind. `kernel_names` infers from its name whether a
parameter is a kernel.
"""
