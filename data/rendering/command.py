"""Renders a data set: `python -m data.rendering tank_yard look_alikes`.

Resumable: a scene whose files are all there is not rendered again; to render one anew, delete its
files. Each finished scene's lines go to data/rendering/progress/<dataset>.jsonl; when a data set
is complete, its lines replace the old ones in data/manifest.csv. Of the portraits, each run leaves
the lines of all scenes that are finished; `--limit 0` writes them and renders nothing.

With the same seed, the same Mitsuba version and the same kind of processor, pictures come out
bit for bit the same; across processors single pixels may differ by a grey level or two.
"""

import argparse
import csv
import hashlib
import importlib
import io
import json
import multiprocessing
import os
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from course_utils.parts import PARTS

from .shots import COLUMNS

DATA = Path(__file__).resolve().parents[1]
PROGRESS = Path(__file__).resolve().parent / "progress"
MANIFEST = DATA / "manifest.csv"
DATASETS = ("tank_yard", "look_alikes", "portraits")
JPEG = {"subsampling": "4:4:4", "optimize": True}
QUALITY = {"tank_yard": 92, "look_alikes": 92, "portraits": 82}
SCENES_AT_ONCE = {"tank_yard": 5, "look_alikes": 5, "portraits": 1}
"""Consecutive scenes that one process renders: five share a body, portraits share nothing."""
IN_PARTS = ("portraits",)
"""Data sets whose manifest lists the scenes that are finished, even if others are missing."""

OLD_PARTS = PARTS.index("sky") + 1
PALETTE = [0, 0, 0]
for number in range(1, len(PARTS)):  # well separated, so that a viewer shows the parts apart
    PALETTE += [(number * 97 + 60) % 256, (number * 57 + 110) % 256, (number * 151 + 30) % 256]


def encode(shot):
    """The bytes of a shot's file: JPEG (4:4:4) for pictures, palette PNG for part masks."""
    buffer = io.BytesIO()
    image = Image.fromarray(shot.pixels)
    if shot.kind in ("parts", "sky"):
        # As many colours as before there were more parts, so that older masks keep their bytes.
        image.putpalette(PALETTE[: 3 * max(OLD_PARTS, int(shot.pixels.max()) + 1)])
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=QUALITY[shot.dataset], **JPEG)
    return buffer.getvalue()


def _scenes(dataset):
    """The module of a data set; importing it needs Mitsuba and chooses its variant first."""
    import drjit
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    drjit.set_thread_count(1)  # one process a core is faster than many threads a picture
    return importlib.import_module(f".{dataset}", __package__)


def _render(task):
    """Renders one job and writes its files -> the job and its manifest lines."""
    dataset, job = task
    rows = []
    for shot in _scenes(dataset).shoot(*job):
        path, content = DATA / shot.path, encode(shot)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        os.replace(partial, path)
        rows.append({**shot.row(), "sha256": hashlib.sha256(content).hexdigest()})
    return job, rows


def _manifest(dataset=None, others=False):
    """The manifest's lines of one data set, or of all the others."""
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        return [row for row in csv.DictReader(file) if (row["dataset"] != dataset) == others]


def _finished(dataset):
    """{job: manifest lines} of the jobs whose files are all in place."""
    job_of, done = _scenes(dataset).job_of, {}
    for row in _manifest(dataset):
        done.setdefault(job_of(row), []).append(row)
    log = PROGRESS / f"{dataset}.jsonl"
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line cut short when an earlier run was stopped
        done[tuple(record["job"])] = record["rows"]
    return {
        job: rows for job, rows in done.items() if all((DATA / r["path"]).exists() for r in rows)
    }


def write_manifest(dataset, rows):
    """Replaces the lines of one data set in data/manifest.csv, sorted by path."""
    others = _manifest(dataset, others=True)
    with MANIFEST.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*others, *rows], key=lambda row: row["path"]))


def render(dataset, processes, limit=None):
    """Renders what is missing of a data set; with `limit`, at most so many scenes."""
    jobs, done = _scenes(dataset).jobs(), _finished(dataset)
    tasks = [(dataset, job) for job in jobs if tuple(job) not in done][:limit]
    PROGRESS.mkdir(exist_ok=True)
    (PROGRESS / ".gitignore").write_text("*\n")
    # Mitsuba keeps threads of its own, which a forked process would lack.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(processes) as pool, (PROGRESS / f"{dataset}.jsonl").open("a") as log:
        finished = pool.imap_unordered(_render, tasks, chunksize=SCENES_AT_ONCE[dataset])
        for job, rows in tqdm(finished, dataset, total=len(tasks), unit="scene", smoothing=0.05):
            log.write(json.dumps({"job": job, "rows": rows}) + "\n")
            log.flush()
            done[tuple(job)] = rows
    missing = len(jobs) - sum(tuple(job) in done for job in jobs)
    if missing:
        print(f"{dataset}: {missing} scenes still to render; run the same command again.")
    if not missing or dataset in IN_PARTS:
        write_manifest(dataset, [row for job in jobs for row in done.get(tuple(job), ())])
        print(f"{dataset}: manifest written{'' if missing else '; complete'}.")


def main():
    parser = argparse.ArgumentParser("python -m data.rendering", description=__doc__)
    parser.add_argument("datasets", nargs="*", choices=DATASETS, default=DATASETS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=int, help="render at most so many scenes of each")
    arguments = parser.parse_args()
    for dataset in arguments.datasets:
        render(dataset, arguments.processes, arguments.limit)
