"""A study, done: complete, never twice, the same whatever happens on the way."""

from __future__ import annotations

import json

import numpy as np
import pytest
from grid import Inline, finish, grid, numbers
from small import photos

from overfocus.core.errors import OverfocusError
from overfocus.core.files import held
from overfocus.report.study.page import write_report
from overfocus.statistics.paired import paired
from overfocus.statistics.sequential import Look
from overfocus.study import forecast as estimate
from overfocus.study import run_study as stages
from overfocus.study import work
from overfocus.study.comparison import Comparison
from overfocus.study.compute import Compute
from overfocus.study.engines.engine import Engine, Job, Outcome
from overfocus.study.results import ACCURACY, BEST, read_results
from overfocus.study.run_key import RunKey, Size
from overfocus.study.run_study import LOSSES, run_study
from overfocus.study.study import claimed, read_study
from overfocus.training.evaluate import evaluate
from overfocus.training.run import Run


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """A study that nothing disturbed."""
    out = tmp_path_factory.mktemp("study") / "s"
    standing = finish(grid(folder), out)
    assert len(standing.finished) == standing.total == 4
    assert not standing.failed
    assert standing.done == pytest.approx(1.0)
    return out


def test_every_run_is_whole(done):
    for cell in grid("x").run_keys():
        assert cell.state(done, grid("x").examine.record) == "finished"
        assert cell.state(done, {}) == "finished"
    assert len(numbers(done)) == 4


def test_a_finished_run_is_not_done_again(done, folder):
    before, engine = {path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file()}, Inline()
    finish(grid(folder), done, engine)
    assert engine.done == []
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file()} == before


def test_more_seeds_only_add_runs(done, folder, tmp_path):
    import shutil

    shutil.copytree(done, tmp_path / "s")
    engine = Inline()
    finish(grid(folder, seeds=3, methods=["plain", "cutout(size=4)", "mixup"]), tmp_path / "s", engine)
    assert sorted(engine.done) == sorted([
        "mixup, all images, seed 0", "mixup, all images, seed 1", "plain, all images, seed 2",
        "cutout(size=4), all images, seed 2", "mixup, all images, seed 2",
    ])  # fmt: skip
    grown = numbers(tmp_path / "s")
    assert {name: grown[name] for name in numbers(done)} == numbers(done)


def sequential(folder, **changes):
    return grid(folder, **{"seeds": 4, "looks": [2, 3, 4], "recipe__epochs": 1, "examine__sections": [], **changes})


def test_a_plan_ends_at_the_look_that_settles_it(folder, tmp_path, monkeypatch):
    """Nothing is known at the first look; the second one is made to settle the study, and the third is not run."""
    asked = []

    def is_settled(path):
        asked.append(read_results(path).look.number)
        return len(asked) == 2

    monkeypatch.setattr(stages, "is_settled", is_settled)
    engine = Inline()
    last = finish(sequential(folder), tmp_path / "s", engine)
    assert (asked, last.total, len(engine.done)) == ([1, 2], 6, 6)
    results = read_results(tmp_path / "s")
    assert (results.look, results.study.seeds, len(results.results), results.missing) == (
        Look((2, 3, 4), 2), (0, 1, 2), 6, ()
    )  # fmt: skip
    assert read_study(tmp_path / "s").seeds == (0, 1, 2, 3), "the plan itself stays as it was written"
    effect = next(iter(Comparison(results).of(ACCURACY, Size()).effects.values()))
    values = results.values(ACCURACY, Size())
    expected = paired(values["cutout(size=4)"], values["plain"], share=Look((2, 3, 4), 2).share)
    assert effect.paired.as_dict() == expected.as_dict()
    again = Inline()
    finish(sequential(folder), tmp_path / "s", again)
    assert again.done == [f"{method}, all images, seed 3" for method in ("plain", "cutout(size=4)")], "asked anew: no"
    assert read_results(tmp_path / "s").look == Look((2, 3, 4), 3)
    with_others = {"methods": ["plain", "mixup"]}, {"seeds": 5, "looks": [2, 3, 5]}, {"looks": []}, {"per_class": [3]}
    for changes in with_others:
        with pytest.raises(OverfocusError, match="other settings"):
            claimed(tmp_path / "s", sequential(folder, **changes))


def test_between_two_looks_the_last_whole_one_counts(folder, tmp_path):
    study = sequential(folder)
    claimed(tmp_path, study)
    keys = list(study.run_keys())
    for number, (count, look) in enumerate(((1, 0), (3, 0), (4, 1), (5, 1), (6, 2))):
        for key in keys[:count]:
            work.do(Job(tmp_path, key))
        results = read_results(tmp_path)
        assert (results.look.number, len(results.results)) == (look, [1, 3, 4, 4, 6][number])
        effect = next(iter(Comparison(results).of(ACCURACY, Size()).effects.values()))
        assert look or effect.verdict == "too few seeds"


def test_a_tie_of_the_same_predictions_settles_a_plan_at_once(folder, tmp_path):
    """Without a learning rate nothing is learned, whatever the method: the first look says so, and the study ends."""
    engine = Inline()
    finish(sequential(folder, recipe__lr=1e-12), tmp_path / "s", engine)
    assert len(engine.done) == 4
    assert stages.is_settled(tmp_path / "s")


def test_another_examination_is_made_of_the_same_weights(done, folder, tmp_path):
    """Sections, images and a second set may change: nothing is trained again, what was asked before is as it was."""
    import shutil

    shutil.copytree(done, tmp_path / "s")
    others = photos(tmp_path / "elsewhere" / "other")
    before, engine = numbers(done), Inline()
    asked = {"examine__sections": ["spread", "outliers"], "examine__ood": str(others)}
    finish(grid(folder, **asked), tmp_path / "s", engine)
    assert len(engine.done) == 4
    after = numbers(tmp_path / "s")
    for name, found in after.items():
        assert set(found["scores"]) == {"spread", "outliers"}
        assert found["scores"]["spread"] == before[name]["scores"]["spread"]
        assert found["scores"]["outliers"]["scores"]["other_auroc"]["n"] == 27  # 9 images, 18 of the other folder
        assert {key: found[key] for key in ("epochs", "weights", "best", "answers")} == {
            key: before[name][key] for key in ("epochs", "weights", "best", "answers")
        }
    again = Inline()
    finish(grid(folder), tmp_path / "s", again)
    assert (again.done, numbers(tmp_path / "s")) == ([], after), "what a command does not ask stays"
    namesake = photos(tmp_path / "another" / "other")
    finish(grid(folder, **asked | {"examine__ood": str(namesake)}), tmp_path / "s", again)
    assert len(again.done) == 4, "a second set of the same name is another one"
    finish(grid(folder, examine__limit=6), tmp_path / "s", again)
    assert len(again.done) == 8
    assert not read_results(tmp_path / "s").unexamined


def test_accuracy_is_known_while_runs_await_their_examination(done, folder, tmp_path):
    """As after a kill between two examinations, or with runs that an earlier version examined."""
    import shutil

    shutil.copytree(done, tmp_path / "s")
    claimed(tmp_path / "s", grid(folder, examine__limit=6))
    results = read_results(tmp_path / "s")
    assert len(results.results) == len(results.unexamined) == 4
    assert {measure.key for measure in results.measures} == {"accuracy", "best_accuracy"}
    job = Job(tmp_path / "s", RunKey("plain", Size(), 1))
    assert work.do(job).state == "finished"
    results = read_results(tmp_path / "s")
    assert len(results.unexamined) == 3
    width = next(measure.key for measure in results.measures if measure.key.startswith("spread."))
    assert np.isfinite(results.values(width, Size())["plain"]).tolist() == [False, True]
    accuracy, before = results.values(ACCURACY, Size()), read_results(done).values(ACCURACY, Size())
    assert {method: values.tolist() for method, values in accuracy.items()} == {
        method: values.tolist() for method, values in before.items()
    }
    page = write_report(Comparison(results), images=2).read_text(encoding="utf-8")
    assert "3 runs not examined yet" in page


@pytest.mark.parametrize("broken", ["", "{", "{}", "[]", '{"about": 3}', None])
def test_a_broken_examination_is_made_anew(done, folder, tmp_path, broken):
    import shutil

    shutil.copytree(done, tmp_path / "s")
    path = RunKey("plain", Size(), 1).folder(tmp_path / "s") / "diagnosis" / "scores.json"
    path.unlink() if broken is None else path.write_text(broken)
    engine = Inline()
    finish(grid(folder), tmp_path / "s", engine)
    assert engine.done == ["plain, all images, seed 1"]
    assert numbers(tmp_path / "s") == numbers(done)


def test_training_is_not_reckoned_for_runs_that_are_only_to_be_examined(done, folder, monkeypatch):
    """A step that takes an hour: two new runs take hours, four that are trained already do not."""
    slow = lambda experiment, dataset, device: Compute(experiment.method, 1.0, 3600.0, 8)  # noqa: E731
    monkeypatch.setattr(estimate, "compute_of", slow)
    found = estimate.forecast(grid(folder, examine__limit=6), done, workers=1)
    assert (found.runs, found.finished) == (4, 0)
    assert found.seconds < 3600
    grown = estimate.forecast(grid(folder, methods=["plain", "cutout(size=4)", "mixup"]), done, workers=1)
    assert (grown.runs, grown.finished) == (6, 4)
    assert grown.seconds > 2 * 3600


def test_an_examination_is_reckoned_by_what_its_sections_pass_forward(folder):
    """Nine of the test images: two passes for maps, eight for halves, 50 for spread; none where nothing is examined."""
    for sections, passes in ((["halves", "spread", "confidence"], 60), (["confidence"], 2), ([], 0)):
        study = grid(folder, examine__sections=sections)
        baseline = study.experiment(RunKey("plain", Size(), 0))
        assert estimate._examination(study, baseline.data, baseline.dataset()) == passes * 9
    few = grid(folder, examine__sections=["halves"], examine__limit=6)
    assert estimate._examination(few, baseline.data, baseline.dataset()) == 10 * 6


def test_results_are_what_the_runs_say(done, folder):
    results = read_results(done)
    values = results.values(ACCURACY, Size())
    for method in ("plain", "cutout(size=4)"):
        for seed in (0, 1):
            run = RunKey(method, Size(), seed).folder(done)
            epochs = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
            assert values[method][seed] == pytest.approx(epochs[-1]["scores"]["test"]["accuracy"])
            best = max(epoch["scores"]["test"]["accuracy"] for epoch in epochs)
            assert results.values(BEST, Size())[method][seed] == pytest.approx(best)
    per_class = results.per_class(Size())["plain"]
    assert per_class.shape == (2, 3)
    assert np.allclose(per_class.mean(axis=1), values["plain"]), "six images of each class"
    assert any(measure.key.startswith("spread.") for measure in results.measures)
    key = next(measure for measure in results.measures if measure.key.startswith("spread.")).key
    assert np.isfinite(results.values(key, Size())["plain"]).all()


def test_best_and_last_are_of_their_own_weights(done, folder):
    """Answers of the best epoch come from best.safetensors: a reader that took the last ones would be caught."""
    from overfocus.training.checkpoint import load_run

    study, cell = grid(folder), RunKey("plain", Size(), 0)
    run = read_results(done).results[cell]
    dataset = work.as_trained(study.experiment(cell).dataset(), Run(run.path))
    for best, which in ((False, "last"), (True, "best")):
        score = evaluate(load_run(run.path, best=best), study.experiment(cell).stream(dataset, "test"))
        assert run.answers.accuracy(which) == pytest.approx(score["accuracy"])


def test_a_run_whose_loss_is_not_a_number_is_told_and_stops_no_other(folder, tmp_path):
    study = grid(folder, model__name="grid:nan_for_seed_1", model__settings={})
    standing = finish(study, tmp_path / "s")
    assert {cell.seed for cell in standing.failed} == {1}
    assert {cell.seed for cell in standing.finished} == {0}
    assert all("loss of epoch 1" in error for error in standing.failed.values())
    results = read_results(tmp_path / "s")
    assert len(results.failed) == 2
    assert np.isnan(results.values(ACCURACY, Size())["plain"]).tolist() == [False, True]
    engine = Inline()
    finish(study, tmp_path / "s", engine)
    assert len(engine.done) == 2, "a failed run is tried once more by the next command, and only that"


def test_nothing_finished_is_an_error_that_says_why(folder, tmp_path):
    study = grid(folder, model__name="grid:nan_for_seed_1", model__settings={}, seeds=[1])
    finish(study, tmp_path / "s")
    with pytest.raises(OverfocusError, match="the first failed with: the loss of epoch 1"):
        read_results(tmp_path / "s")


def test_a_run_that_another_process_holds_is_left_to_it(folder, tmp_path):
    study, out = grid(folder), tmp_path / "s"
    first = next(study.run_keys())
    steps = run_study(study, out, Inline())
    next(steps)
    with held(first.folder(out) / work.LOCK, "held by a test"):
        assert work.do(Job(out, first)).state == "taken"
        for standing in steps:
            assert not standing.failed, "with a failed run it would never end"
            assert first not in standing.finished
            if len(standing.finished) == 3:
                break
    assert not (first.folder(out) / "manifest.json").exists()
    *_, last = steps
    assert len(last.finished) == 4


class Losing(Inline):
    """A stand-in whose processes die: `times` times before each run gets done."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left: dict[str, int] = {}
        self.times = times

    def wait(self, seconds: float) -> list[Outcome]:
        job = self.jobs[0] if self.jobs else None
        if job and self.left.setdefault(str(job.key), self.times) > 0:
            self.left[str(job.key)] -= 1
            return [Outcome(self.jobs.popleft(), "lost", "its process ended (killed by SIGKILL)")]
        return super().wait(seconds)


def test_a_lost_run_is_done_again(done, folder, tmp_path):
    assert not finish(grid(folder), tmp_path / "s", Losing(LOSSES - 1)).failed
    assert numbers(tmp_path / "s") == numbers(done)


def test_a_run_that_kills_every_process_is_given_up(folder, tmp_path):
    standing = finish(grid(folder, seeds=1), tmp_path / "s", Losing(LOSSES))
    assert len(standing.failed) == 2
    assert all("SIGKILL" in error for error in standing.failed.values())


class Stopping(Engine):
    """A stand-in that meets a full disk."""

    slots = 1

    def submit(self, job: Job) -> None:
        self.job = job

    def wait(self, seconds: float) -> list[Outcome]:
        return [Outcome(self.job, "stopped", "the disk is full")]

    def close(self) -> None:
        pass


def test_what_befalls_every_run_stops_the_study(folder, tmp_path):
    with pytest.raises(OverfocusError, match="the disk is full"):
        finish(grid(folder), tmp_path / "s", Stopping())
    assert not list((tmp_path / "s").rglob("failure.json"))


def test_a_damaged_answer_is_named(done, tmp_path):
    import shutil

    shutil.copytree(done, tmp_path / "s")
    path = next((tmp_path / "s").rglob("answers.npz"))
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(OverfocusError, match=r"answers\.npz is damaged"):
        read_results(tmp_path / "s")
