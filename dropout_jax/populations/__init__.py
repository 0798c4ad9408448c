"""Conditions × seeds trained by one program, on all devices, within memory.

Public are `population`, `members`, `moment`, `devices` and `checkpoints`.
"""
