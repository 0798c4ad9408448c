"""One network: what its training is told, one step, and from epoch to epoch."""
