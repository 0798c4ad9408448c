"""The commands of `dropout-jax`; the only room that prints."""
