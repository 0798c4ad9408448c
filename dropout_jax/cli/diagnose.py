"""`dropout-jax doctor`: what was found on this machine, a line each."""

from dropout_jax.cli import backend, doctor, jobs, tables, terminal
from dropout_jax.cli.arguments import Doctor
from dropout_jax.cli.conditions import Conditions
from dropout_jax.cli.refused import bad_input


def diagnose(arguments: Doctor, given: Conditions) -> int:
    """Print what a run depends on, and whether it will be exact, fast and soon done."""
    with bad_input():
        backend.configure()
        backend.start()
        dataset, config, conditions = jobs.load(arguments, given)
    asked = (config, list(conditions.values()), arguments.seeds, jobs.root_key(), dataset)
    found = doctor.examine(*asked, backend.options(), jobs.memory(arguments))
    terminal.say(tables.finding(*one) for one in found)
    return 0
