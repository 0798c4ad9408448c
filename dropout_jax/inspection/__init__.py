"""Files of any networks: read as tensors, told apart as kernels, measured.

Public is `measures`.
"""
