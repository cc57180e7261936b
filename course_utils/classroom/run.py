"""`course run`: executes notebooks, several at once, and says which of them work.

Papermill's own verdict is not enough: it is content after `sys.exit(0)` and ignores unknown
parameters, and after a timeout it marks the unfinished cells as completed. So parameters are
checked before, and every cell after the run.
"""

import ast
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from course_utils.classroom import (
    UsageError,
    exercises_of,
    find_notebooks,
    read_notebook,
    refuse_missing_picture,
    refuse_namesakes,
)
from course_utils.classroom.files import make_folder
from course_utils.classroom.magics import parse

START = 600
"""Seconds that a kernel may take to start: on a busy computer a minute is not enough."""


@dataclass
class Result:
    """How the run of one notebook went."""

    name: str
    cells: int
    """How many code cells it has."""
    checks: str
    """How many checks passed, of how many."""
    seconds: float
    failure: str
    """What went wrong, in one sentence; empty if every cell completed."""


def run(names, parameters, out, jobs=2, timeout=600):
    """Executes notebooks and prints a table -> 0 if every code cell of all completed, else 1.

    names:      which notebooks, see `find_notebooks`; none means all
    parameters: {name: value as text}; a notebook gets those that it declares
    out:        folder for the executed notebooks and their HTML
    timeout:    seconds that one cell may take
    """
    notebooks = find_notebooks(names)
    _refuse_to_overwrite(notebooks, out)
    chosen = choose_parameters(notebooks, parameters)
    _set_environment(jobs)
    make_folder(out)
    start = time.monotonic()
    results = _execute_all(notebooks, chosen, out, jobs, timeout)
    _print_table(results, time.monotonic() - start, out)
    return 1 if any(result.failure for result in results) else 0


def _refuse_to_overwrite(notebooks, out):
    """No result may take the place of a notebook that is run, or of another result."""
    for notebook in notebooks:
        if (out / notebook.name).resolve() == notebook.resolve():
            message = f"The result would replace {notebook.name} itself: choose another --out."
            raise UsageError(message)
    refuse_namesakes(notebooks)


def choose_parameters(notebooks, parameters):
    """Which notebook gets which of the `parameters` -> {notebook: {name: value}}."""
    declared = {notebook: declared_parameters(notebook) for notebook in notebooks}
    known = sorted(set().union(*declared.values()))
    for name in parameters:
        if name not in known:
            there_are = f"there are: {', '.join(known)}" if known else "there are none"
            raise UsageError(f"No chosen notebook has a parameter {name!r}; {there_are}.")
    return {
        notebook: {n: _value(n, text, own[n]) for n, text in parameters.items() if n in own}
        for notebook, own in declared.items()
    }


def declared_parameters(notebook):
    """{name: value} of what the cell tagged `parameters` assigns; None for what is no literal."""
    values = {}
    for cell in read_notebook(notebook).cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            values |= _assigned(cell.source)
    return values


def _assigned(source):
    tree = parse(source)
    if tree is None:
        return {}  # the run will name this cell
    values = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            values.setdefault(node.id, None)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            values |= dict.fromkeys(names, node.value.value)
    return values


SWITCHES = {"true": True, "false": False, "1": True, "0": False}


def _value(name, text, usual):
    """A parameter's value: what the text means in Python, or else the text itself.

    The name of a file becomes its whole path, because notebooks run in a folder of their own. Where
    the usual value is a switch or a whole number, nothing else is taken: "false" would be true.
    """
    if name == "PICTURE":
        refuse_missing_picture(text)
    if isinstance(usual, bool):
        if text.lower() not in SWITCHES:
            raise UsageError(f"{name} is a switch: give true or false, not {text!r}.")
        return SWITCHES[text.lower()]
    if isinstance(usual, int):
        try:
            return int(text)
        except ValueError:
            message = f"{name} is a whole number, such as {usual}, not {text!r}."
            raise UsageError(message) from None
    if os.path.isfile(text):  # unlike Path's, it takes any text, however long
        return str(Path(text).resolve())
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _set_environment(jobs):
    """What the kernels inherit: this environment's Python, and a fair share of the cores."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    threads = max(1, (os.cpu_count() or 1) // jobs)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("COURSE_STRICT", "1")  # a check that fails is an error of its cell


# ---------------------------------------------------------------------------- executing


def _execute_all(notebooks, parameters, out, jobs, timeout):
    """Executes the notebooks, `jobs` at once -> results in the given order.

    Each job is a process, because the sockets to several kernels can't share one. On a terminal
    each shows a progress bar; elsewhere a line tells when a notebook is finished.
    """
    spawn = multiprocessing.get_context("spawn")
    slots = spawn.Queue()
    jobs = min(jobs, len(notebooks))  # all processes begin at once
    for slot in range(jobs):
        slots.put(slot)
    results = {}
    with ProcessPoolExecutor(jobs, spawn, _start_worker, (spawn.RLock(), slots)) as pool:
        tasks = {
            pool.submit(execute, notebook, parameters[notebook], out, timeout): notebook
            for notebook in notebooks
        }
        try:
            for task in as_completed(tasks):
                result = results[tasks[task]] = _result_of(task, tasks[task])
                if not sys.stderr.isatty():
                    verdict = result.failure or "ok"
                    print(f"{result.name}: {verdict} ({result.seconds:.0f} s)", flush=True)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # by Ctrl-C it has ended already
            pool.shutdown(cancel_futures=True)
            raise
    return [results[notebook] for notebook in notebooks]


def _result_of(task, notebook):
    try:
        return task.result()
    except BrokenProcessPool:  # for instance for want of memory; it ends the other jobs too
        failure = "the notebook was not executed to its end: a job of this run was killed"
        return Result(notebook.stem, 0, "-", 0, failure)


def _start_worker(lock, slots):
    """Gives this process a line of the terminal for its progress bar, and a quiet end by Ctrl-C."""
    global bar_position
    bar_position = slots.get()
    tqdm.set_lock(lock)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # its kernel ends when it finds itself alone


bar_position = 0


def execute(notebook, parameters, out, timeout):
    """Executes one notebook in its own folder, writes it and its HTML to `out` -> Result."""
    start, target = time.monotonic(), out / notebook.name
    for old in (target, target.with_suffix(".html")):
        old.unlink(missing_ok=True)
    crash = _execute(notebook, parameters, target, timeout)
    if not target.exists():
        return Result(notebook.stem, 0, "-", time.monotonic() - start, f"the notebook {crash}")
    try:
        executed = read_notebook(target)
    except UsageError as error:  # such as one that was cut off where no room was left
        told = f"the notebook {crash or 'was not written whole'}: {error}"
        return Result(notebook.stem, 0, "-", time.monotonic() - start, told)
    failure = find_failure(executed, crash)
    _write_html(executed, target.with_suffix(".html"))
    cells = len({number for number, _ in _code_cells(executed)})  # without injected parameters
    checks = count_checks(executed)
    return Result(notebook.stem, cells, checks, time.monotonic() - start, failure)


def _execute(notebook, parameters, target, timeout):
    """Lets papermill execute a notebook -> what ended the run from outside, "" if nothing did."""
    import papermill  # slow to import, and needed only by the processes that execute
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    from course_utils.classroom.kernels import AwakeKernelManager

    bar = {"desc": notebook.stem, "position": bar_position, "leave": False, "disable": None}
    try:
        papermill.execute_notebook(
            str(notebook),
            str(target),
            parameters,
            kernel_name="python3",
            language="python",
            cwd=str(notebook.parent),
            progress_bar=bar,  # pyright: ignore[reportArgumentType] (it takes tqdm's options too)
            start_timeout=START,
            execution_timeout=timeout,
            kernel_manager_class=AwakeKernelManager,
            shutdown_kernel="immediate",  # all is read, and taking torch down takes seconds
            extra_arguments=["--log-level=CRITICAL"],  # over TCP a kernel warns every time
        )
    except papermill.PapermillExecutionError:
        return ""  # an error in a cell: `find_failure` sees it there
    except CellTimeoutError:
        return f"took more than {timeout} s"
    except DeadKernelError:
        return "killed its kernel"
    except Exception as error:  # such as a kernel that does not start
        return f"could not be executed: {type(error).__name__}: {error}"
    return ""


def find_failure(executed, crash=""):
    """The first thing wrong with an executed notebook, in one sentence; "" if all is well.

    crash: what ended the run from outside, if anything did; the last cell started is to blame
    """
    cells = {_title(number, cell): cell for number, cell in _code_cells(executed)}
    if crash:
        started = [title for title, cell in cells.items() if cell.metadata.papermill.start_time]
        return f"{started[-1]} {crash}" if started else f"the notebook {crash}"
    for title, cell in cells.items():
        error = _unexpected_error(cell)
        if error:
            return f"{title} raised {error.ename}: {' '.join(error.evalue.split())}"
        completed = cell.metadata.papermill.status == "completed"
        if not completed or cell.execution_count is None:
            return f"{title} did not complete"
    return ""


def count_checks(executed):
    """How many of a notebook's checks passed, such as "3/4"; "-" if it has none."""
    from course_utils.classroom.progress import saved_verdict

    names = exercises_of(executed)
    verdicts = [saved_verdict(executed, name) or {} for name in names]
    passed = sum(verdict.get("kind") == "passed" for verdict in verdicts)
    return f"{passed}/{len(names)}" if names else "-"


def _code_cells(notebook):
    """(number, cell) of each code cell that is not empty, numbered as in the master from 1."""
    number = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            number += "injected-parameters" not in cell.metadata.get("tags", [])
            if cell.source.strip():
                yield number, cell


def _title(number, cell):
    """What a code cell is called in messages: its number and its first line."""
    return f"code cell {number} ({cell.source.strip().splitlines()[0][:60]})"


def _unexpected_error(cell):
    """The error among a cell's outputs, unless the cell is tagged as meant to raise one."""
    if "raises-exception" in cell.metadata.get("tags", []):
        return None
    return next((output for output in cell.outputs if output.output_type == "error"), None)


def _write_html(notebook, path):
    from course_utils.classroom.export import to_html  # nbconvert is slow to import

    path.write_text(to_html(notebook, path.stem), encoding="utf-8")


def _print_table(results, seconds, out):
    width = max(len(result.name) for result in results)
    print(f"\n{'notebook':{width}}  cells  checks  seconds  result")
    for result in results:
        verdict = result.failure or "ok"
        numbers = f"{result.cells:5}  {result.checks:>6}  {result.seconds:7.1f}"
        print(f"{result.name:{width}}  {numbers}  {verdict}")
    failed = sum(bool(result.failure) for result in results)
    count = f"{len(results) - failed} of {len(results)} notebooks ran to the end"
    print(f"\n{count}, in {seconds:.0f} s; see {_short(out)}")


def _short(path):
    """A path as it is shown: relative to the current folder where possible."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
