"""What a run printed, carried into the masters by docs/keep_outputs.py."""

import copy
import runpy

import nbformat
import pytest

from course_utils.classroom import ROOT

keep = runpy.run_path(str(ROOT / "docs" / "keep_outputs.py"))


def master():
    new = nbformat.v4
    cells = [new.new_markdown_cell("# 1"), new.new_code_cell(""), new.new_code_cell("1 + 1")]
    return new.new_notebook(cells=[*cells, new.new_code_cell("print(3)")])


def executed(notebook):
    """As papermill leaves it, in a session that had run other cells before."""
    run = copy.deepcopy(notebook)
    outputs = {
        "1 + 1": nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=7),
        "print(3)": nbformat.v4.new_output("stream", text="3\n"),
    }
    for cell in run.cells:
        if cell.source in outputs:
            cell.outputs, cell.execution_count = [outputs[cell.source]], 7
        cell.metadata["papermill"] = {"status": "completed"}
    run.metadata["widgets"] = {"state": {}}
    return run


def test_outputs_are_taken_and_numbered_and_nothing_else():
    notebook = master()
    keep["with_outputs"](notebook, executed(notebook))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [None, 1, 2]
    assert [len(cell.outputs) for cell in code] == [0, 1, 1]
    assert code[1].outputs[0].execution_count == 1
    assert "widgets" not in notebook.metadata
    assert all("papermill" not in cell.metadata for cell in notebook.cells)


def changed(run):
    run.cells[2].source = "1 + 2"


def with_parameters(run):
    cell = nbformat.v4.new_code_cell("SEED = 1", metadata={"tags": ["injected-parameters"]})
    run.cells.insert(1, cell)


def stopped(run):
    run.cells[3].metadata["papermill"]["status"] = "pending"


def failed(run):
    run.cells[3].outputs = [nbformat.v4.new_output("error", ename="KeyError", evalue="x")]


@pytest.mark.parametrize(
    "happens, told",
    [
        (changed, "have changed since"),
        (with_parameters, "leave out -p"),
        (stopped, "did not complete"),
        (failed, "raised KeyError"),
    ],
)
def test_a_run_that_is_none_of_the_master_is_refused(happens, told):
    notebook = master()
    run = executed(notebook)
    happens(run)
    with pytest.raises(ValueError, match=told):
        keep["with_outputs"](notebook, run)
    assert all(cell.get("outputs", []) == [] for cell in notebook.cells)


def test_a_missing_run_is_told_with_its_command(tmp_path, capsys):
    with pytest.raises(SystemExit):
        keep["main"](["4", "--executed", str(tmp_path)])
    assert "course run 04" in capsys.readouterr().err
