"""Measures of trained networks, their statistics, and what theory says.

Public are `uniformity`, `views`, `units`, `members`, `statistics`, `paired`, `groups`,
`comparison`, `ablation`, `ensemble`, `perturbations` and `theory`.

`uniformity` has the measures, such as the Gini index. `trees` finds the kernels of a network,
`views` the numbers of a layer that are measured, and `members` measures a population. `units`
measures hidden units. `paired` and `groups` compare, with the `statistics` that they share, and
`comparison` makes the summary. Co-adaptation is measured by `ablation`, averages of predictions by
`ensemble`, robustness by `perturbations`. `theory` has expectations, penalties and optima.
"""
