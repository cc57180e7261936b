"""Python that begins at once: forks of a process that has imported what takes seconds.

forks = Forks("torch")
forks.run("-c", "print(1)")  # as subprocess.run([sys.executable, "-c", "print(1)"]) would be
"""

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile


class Forks:
    """Runs command lines of Python in forks of a process that has imported some modules.

    For what depends on neither what else has been imported nor on variables that Python, or one of
    these modules, reads when it begins. Use it in a `with` block.
    """

    def __init__(self, *modules: str):
        self.process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            text=True,
        )
        self.orders, self.endings = self.process.stdin, self.process.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.orders.close()  # it ends when there are no more
        self.process.wait()
        self.endings.close()

    def run(self, *arguments, cwd=None, env=None):
        """What `python ARGUMENTS` does, with what it prints -> a CompletedProcess."""
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
            order = {
                "arguments": [str(argument) for argument in arguments],
                "cwd": str(cwd or os.getcwd()),
                "env": dict(os.environ if env is None else env),
                "files": files,
            }
            print(json.dumps(order), file=self.orders, flush=True)
            ending = int(self.endings.readline())
            said = [_text(file) for file in files]
        return subprocess.CompletedProcess(order["arguments"], ending, *said)


def _text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main(modules):
    """Imports the modules, then forks for each order on stdin, and tells how the fork ended."""
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # what is there is never collected, so that forks share it
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(arguments, cwd, env, files):
    """What Python would do with these arguments, in this process."""
    for descriptor, file in enumerate([os.devnull, *files]):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    first, *rest = arguments
    named = env.get("PYTHONPATH", "").split(os.pathsep)
    here = os.path.dirname(os.path.abspath(__file__))
    inherited = [path for path in sys.path if path != here]  # it is no script of the tests
    own = os.path.dirname(os.path.abspath(first)) if first not in ("-c", "-m") else ""
    sys.path[:] = [own, *filter(None, named), *inherited]
    sys.argv[:] = arguments if first not in ("-c", "-m") else [first, *rest[1:]]
    if first == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
