"""A made-up class for the tests of grading: notebooks with every kind of answer in them."""

import nbformat

from course_utils.classroom import answer_in, find_notebooks
from course_utils.classroom.grading import submissions

MASTERS = submissions.read_masters()


def master(stem):
    """The path of one of the course's notebooks."""
    return next(path for path in find_notebooks() if path.stem == stem)


def solved(stem):
    """A submission with every answer right."""
    return nbformat.read(master(stem), as_version=4)


def cell_of(book, name):
    """The cell with the answer to an exercise."""
    return next(cell for cell in book.cells if answer_in(cell) == name)


def place_of(book, name):
    return book.cells.index(cell_of(book, name))


def put(book, name, body, before=""):
    """Gives an answer this body instead of its own, and code before it."""
    cell = cell_of(book, name)
    head = cell.source.split('"""')[0].rstrip()
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    cell.source = f"{before}\n{head}\n{lines}\n"


def put_into(book, name, extra):
    """Puts code at the beginning of a right answer."""
    cell = cell_of(book, name)
    head, mark, rest = cell.source.partition("    ### BEGIN SOLUTION\n")
    lines = "\n".join(f"    {line}" for line in extra.splitlines())
    cell.source = f"{head}{mark}{lines}\n{rest}"


def insert(book, place, source):
    """A new code cell."""
    book.cells.insert(place, nbformat.v4.new_code_cell(source))
