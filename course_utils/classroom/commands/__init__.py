"""The subcommands of `course`, one module each, named like the subcommand.

A module has `SUMMARY`, one line for `course --help`; `add_arguments(parser)`; and `work(options)`,
which does what was asked for and returns the exit status. It imports what is slow (papermill alone
takes a second) inside `work`, since `course --help` imports all of them. To add a subcommand, write
its module and put its name into `NAMES`.
"""

import argparse

NAMES = ("run", "learn", "progress", "grade", "release", "slides", "site", "explain", "doctor")
"""In the order in which `course --help` lists them."""


def positive(text: str) -> int:
    """An argument that must be a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)
