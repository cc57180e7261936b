"""Grading on a Dask cluster: the same results, whatever becomes of its workers."""

import shutil

import pytest
from grading_class import MASTERS, master

from course_utils.classroom import UsageError
from course_utils.classroom.copies import update_copy
from course_utils.classroom.grading import cluster, grade, workers
from course_utils.classroom.grading.records import (
    GRADED,
    GRADER_ERROR,
    Limits,
    Result,
    Task,
    Verdict,
)
from course_utils.classroom.grading.version import course_version

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")

STEM = "08_gradient_ascent"
FULL = sum(MASTERS[STEM].points.values())
LIMITS = Limits(seconds=60)


def tasks_of(count):
    return iter([Task(f"learner{n}", f"{n}.ipynb") for n in range(count)])


def pretend(task):
    return Result(task.learner, task.file, "n", exercises=[Verdict("e", "passed", 1, 1)])


@pytest.fixture
def threads(monkeypatch):
    """A cluster within this process, which only pretends to grade."""
    monkeypatch.setattr(cluster, "grade_one", pretend)
    monkeypatch.setattr(grade, "rehearse", lambda *_: None)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=False
    ) as made:
        yield made


def on(a_cluster, count=3, **options):
    return cluster.graded_on_cluster(
        tasks_of(count),
        a_cluster.scheduler_address,
        **{"sandboxed": True, "limits": LIMITS, **options},
    )


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_real_workers_grade_the_same_and_one_may_die(tmp_path, monkeypatch):
    for number in range(6):
        folder = tmp_path / "in" / f"learner{number}"
        update_copy(master(STEM), folder)
    shutil.copy(master(STEM), tmp_path / "in" / "learner5")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as made:
        keep = grade.Run.keep

        def kill_a_worker_and_keep(run, task, result):
            if len(made.workers) == 2:
                next(iter(made.workers.values())).process.process._process.kill()
                monkeypatch.setattr(grade.Run, "keep", keep)
            keep(run, task, result)

        monkeypatch.setattr(grade.Run, "keep", kill_a_worker_and_keep)
        results = grade.grade(
            [tmp_path / "in"], tmp_path / "out", scheduler=made.scheduler_address, limits=LIMITS
        )
    assert [result.status for result in results] == [GRADED] * 6
    assert [result.points for result in results] == [0] * 5 + [FULL]


def test_results_come_back_with_their_tasks(threads):
    results = {task.learner: result for task, result in on(threads, 20)}
    assert len(results) == 20
    assert all(name == result.learner for name, result in results.items())


def test_a_worker_s_error_is_a_grader_s_error(threads, monkeypatch):
    monkeypatch.setattr(cluster, "RETRIES", 0)
    monkeypatch.setattr(cluster, "grade_one", lambda task: 1 / 0)
    for task, result in on(threads):
        assert result.status == GRADER_ERROR and result.learner == task.learner
        assert "its Dask worker broke (ZeroDivisionError" in result.problem


def test_when_all_workers_are_gone_the_rest_is_given_up(threads, monkeypatch):
    monkeypatch.setattr(cluster, "ALONE", 0.2)
    graded = on(threads, 12)
    next(graded)
    threads.scale(0)
    rest = [result for _, result in graded]
    lost = [result for result in rest if result.status == GRADER_ERROR]
    assert len(rest) == 11 and lost
    assert all("no workers left" in result.problem for result in lost)


class Lost:
    """A future whose result died with its worker, and comes after some time or never."""

    status = "pending"  # what it was while others were waited for, "finished", is over

    def __init__(self, times, text=""):
        self.times, self.text = times, text

    def result(self, timeout):
        self.times -= 1
        if self.times >= 0:
            raise TimeoutError
        return self.text


class Clients:
    """A client that sees a number of workers."""

    def __init__(self, workers):
        self.workers = {str(n): {"nthreads": 1} for n in range(workers)}

    def scheduler_info(self, n_workers):
        return {"workers": self.workers}


def test_a_result_that_is_lost_with_its_worker_stops_nothing():
    task = Task("ada", "a.ipynb")
    alone = cluster._Cluster(Clients(0))._result(task, Lost(times=1))
    assert alone.status == GRADER_ERROR and "no workers left" in alone.problem
    again = cluster._Cluster(Clients(1))._result(task, Lost(3, pretend(task).to_json()))
    assert again.status == GRADED and again.points == 1
    broken = cluster._Cluster(Clients(1))._result(task, Lost(0, "junk"))
    assert broken.status == GRADER_ERROR and "worker broke" in broken.problem


def test_another_version_of_the_course_is_refused(threads, monkeypatch):
    monkeypatch.setattr(cluster, "course_version", iter(["mine", "yours", "yours"]).__next__)
    with pytest.raises(UsageError, match="worker .* can't grade: it has another version"):
        next(on(threads))


def test_a_worker_without_a_sandbox_is_refused(threads, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="worker .* can't grade: bubblewrap.*is not installed"):
        next(on(threads))


def test_a_worker_that_can_not_even_be_asked_is_refused(threads, monkeypatch):
    monkeypatch.setattr(cluster, "unfit", raise_missing)
    with pytest.raises(UsageError, match="no such version of the course .ModuleNotFoundError"):
        next(on(threads))


def raise_missing(*_):
    raise ModuleNotFoundError("No module named 'course_utils.classroom.grading.cluster'")


def test_a_worker_whose_own_answer_fails_is_unfit(monkeypatch):
    grade._rehearse.cache_clear()
    monkeypatch.setattr(workers, "grade_one", lambda task: workers.failed(task, "no memory"))
    told = cluster.unfit(course_version(), False, vars(Limits(seconds=9)))
    assert "can't grade" in told and "no memory" in told


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_a_scheduler_that_does_not_answer(address, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTING", 0.3)
    with pytest.raises(UsageError, match="No Dask scheduler answers"):
        next(cluster.graded_on_cluster(tasks_of(1), address, True, LIMITS))


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(cluster, "STAFFING", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, processes=False) as made,
        pytest.raises(UsageError, match="has no workers"),
    ):
        next(on(made))
