"""The MLP in Flax Linen and in NNX, and a Dropout layer with a rate that may be traced.

Public are `mlp`, `linen`, `nnx` and `protocol`, which says what other networks need.
"""
