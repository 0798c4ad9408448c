"""Measures of trained networks, their statistics, and what theory says.

Public are `uniformity`, `views`, `units`, `members`, `statistics`, `paired`, `groups`,
`comparison`, `ablation`, `ensemble`, `perturbations` and `theory`.
"""
