"""`python -m dropout_jax` is the command `dropout-jax`."""

from dropout_jax.cli.main import main

if __name__ == "__main__":
    main()
