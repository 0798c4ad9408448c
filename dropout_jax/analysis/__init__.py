"""Measures of trained networks, their statistics, and what theory says."""
