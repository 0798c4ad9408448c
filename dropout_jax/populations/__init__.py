"""Conditions × seeds trained by one program, on all devices, within memory."""
