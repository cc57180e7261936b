"""What the benchmarks share: CPU time, peak memory, networks, and how results are written down."""

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from pathlib import Path

import torch

from course_utils import pictures
from course_utils._torchvision import import_torchvision
from course_utils.classifiers import load


def cpu_seconds(work):
    """Seconds of CPU time of this process, all threads, that calling `work` takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def take_turns(works, rounds, warm=False):
    """Median CPU seconds {name: seconds} of functions {name: function} that run by turns.

    warm: whether they have run before; if not, they do so once, because that takes longer
    """
    for work in () if warm else works.values():
        work()
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(cpu_seconds(work))
    return {name: statistics.median(values) for name, values in times.items()}


def best_of(medians):
    """The fastest setting of each way: {(way, setting): seconds} -> {way: (seconds, setting)}."""
    ways = dict.fromkeys(way for way, _ in medians)
    return {
        way: min((seconds, setting) for (name, setting), seconds in medians.items() if name == way)
        for way in ways
    }


# ---------------------------------------------------------------------------- memory


def extra_memory(prepare, *arguments):
    """MiB by which the peak memory of a fresh process grows during `prepare(*arguments)()`.

    What `prepare`, a function of a module, needs itself does not count. Linux only.
    """
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_measure_peak, args=(sender, prepare, *arguments))
    process.start()
    sender.close()  # so that a process that fails is noticed: then nobody can send any more
    grown = receiver.recv()
    process.join()
    return grown


def _measure_peak(sender, prepare, *arguments):
    torch.set_num_threads(1)
    work = prepare(*arguments)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # lets the peak start again from here
    work()
    sender.send(_memory("VmHWM") - before)


def _memory(field):
    """A line of Linux's account of this process, in MiB: VmRSS is now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


# ---------------------------------------------------------------------------- networks


def course_network():
    """A network of the course, 128 px, and a preprocessed picture (1, 3, 128, 128)."""
    classifier = load("look_alikes")
    picture, _ = pictures.load_set("look_alikes", "test")[0]
    return classifier.model, classifier.preprocess(picture)


def from_torchvision(name):
    """A network of torchvision with random weights, and noise for a picture (1, 3, 224, 224)."""
    torch.manual_seed(0)
    model = getattr(import_torchvision().models, name)(weights=None)
    return model.eval().requires_grad_(False), torch.randn(1, 3, 224, 224)


def channels_last(value):
    """A tensor, or a module itself, with all channels of a pixel side by side in memory."""
    return value.to(memory_format=torch.channels_last)


# ---------------------------------------------------------------------------- the command


def options(name, text, cases, rounds=5):
    """The command's options; sets torch to one thread.

    cases: all that can be measured; on the command line, parts of their names choose among them
    """
    summary = text.splitlines()[0]
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=summary)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default: {rounds}")
    parser.add_argument("cases", nargs="*", help=f"parts of: {', '.join(cases)}; default: all")
    found = parser.parse_args()
    wanted = [part.lower() for part in found.cases]
    found.cases = [
        case for case in cases if not wanted or any(part in case.lower() for part in wanted)
    ]
    if not found.cases:
        parser.error(f"no case has such a name; there are: {', '.join(cases)}")
    if found.rounds < 1:
        parser.error("at least one round is needed")
    torch.set_num_threads(1)
    return found


def machine():
    """Processor and versions, in one line."""
    processor = platform.processor() or platform.machine()
    account = Path("/proc/cpuinfo")
    if account.exists():
        lines = account.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    threads = torch.get_num_threads()
    return f"{processor}, {threads} thread{'s'[: threads > 1]}, torch {torch.__version__}"


def print_table(columns, rows):
    """Markdown: the first column holds names, the others are numbers, aligned to the right."""
    print(f"| {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def write_json(file, results):
    """What was measured, and on which machine; nothing if there is no file."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "results": results}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
