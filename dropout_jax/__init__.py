"""dropout_jax: does dropout really spread a network's weights?

Import what you need from its modules, from the bottom up: `dropout`, `networks`, `objectives`,
`data`, `training`, `population`, `weights`, `units`, `statistics`, `comparison`, `plots`,
`records`. Importing the package itself costs nothing; JAX starts with the first module.
"""
