"""Carries what a run printed and drew from build/ into the masters, which keep their outputs.

    OMP_NUM_THREADS=1 .venv/bin/course run 04
    .venv/bin/python docs/keep_outputs.py 04 [--executed FOLDER]

Only outputs and their numbers change. A run is refused if it did not reach its end, had other
parameters, or is of other cells than the master has now.
"""

import argparse
from pathlib import Path

import nbformat

from course_utils.classroom import ROOT, find_notebooks
from course_utils.classroom.run import find_failure


def with_outputs(master: nbformat.NotebookNode, run: nbformat.NotebookNode) -> None:
    """Puts the outputs of an executed copy into the master; ValueError says why it can't."""
    tags = [tag for cell in run.cells for tag in cell.metadata.get("tags", [])]
    if "injected-parameters" in tags:
        raise ValueError("it was run with other parameters: leave out -p")
    if [cell.source for cell in master.cells] != [cell.source for cell in run.cells]:
        raise ValueError("its cells have changed since: run it again")
    if failure := find_failure(run):
        raise ValueError(failure)
    number = 0
    for cell, executed in zip(master.cells, run.cells):
        if cell.cell_type == "code" and cell.source.strip():
            number += 1
            cell.outputs = executed.outputs
            cell.execution_count = number
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = number
    nbformat.validate(master)


def main(arguments=None):
    """Carries the outputs of executed notebooks into the masters."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="+", metavar="NOTEBOOK", help="name, number or path")
    parser.add_argument("--executed", type=Path, default=ROOT / "build", metavar="FOLDER")
    options = parser.parse_args(arguments)
    for path in find_notebooks(options.names):
        executed = options.executed / path.name
        if not executed.is_file():
            parser.error(f"{executed} is missing: course run {path.stem.split('_')[0]}")
        master = nbformat.read(path, as_version=4)
        try:
            with_outputs(master, nbformat.read(executed, as_version=4))
        except ValueError as error:
            parser.error(f"{path.name}: {error}.")
        nbformat.write(master, path)


if __name__ == "__main__":
    main()
