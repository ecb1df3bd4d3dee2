"""A study carried out by a made-up runner: stages, resume, what is kept, and the report."""

import base64
import dataclasses
import itertools
import json
import re

import pytest

from pipelines.experiments.studies import figures, markdown, plan, process, provenance, report
from pipelines.experiments.studies.results import Results, to_json
from pipelines.experiments.studies.store import Store
from ssl_recsys import files
from ssl_recsys.errors import InputError
from ssl_recsys.methods import METHODS
from tests import study_runs
from tests.study_runs import FormulaRunner


def carry_out(directory, **arguments):
    """A finished small study and its runner."""
    store = Store(directory)
    runner = FormulaRunner(store.runs_dir, **arguments)
    process.carry_out(study_runs.study(), store, runner)
    return store, runner


def write_report(directory, store):
    files.write_json(directory / process.FREQUENCY_FILE, study_runs.FREQUENCY)
    process.write_report(study_runs.study(), store, directory, study_runs.INFO)
    return json.loads((directory / "results.json").read_text())


@pytest.fixture(name="finished", scope="module")
def _finished(tmp_path_factory):
    """A finished study with its report: directory, runner, results.json."""
    directory = tmp_path_factory.mktemp("finished")
    store, runner = carry_out(directory)
    return directory, runner, write_report(directory, store)


def test_time_left_is_reckoned_from_this_start(tmp_path, capsys):
    carry_out(tmp_path)
    total = sum(plan.stage_sizes(study_runs.study()).values())
    capsys.readouterr()
    carry_out(tmp_path)
    # Nothing was run, so nothing is known of the speed.
    assert re.search(rf"{total}/{total} \[\d\d:\d\d<\?, \?run/s\]", capsys.readouterr().err)


def test_every_stage_is_run_and_the_choices_are_the_best(finished):
    _, runner, found = finished
    # 2 rates, 2 alphas, FD and DO at 3 rates (FD at 0.3 is there), 3 methods x 2 fractions x 3.
    assert len(runner.ran) == len(set(runner.ran)) == 2 + 2 + 5 + 18
    assert found["choices"] == {"learning_rate": 0.1, "alphas": {"fd": 1.0}}
    assert len(found["runs"]) == len(runner.ran)


def test_test_metrics_do_not_move_choices(tmp_path, finished):
    _, runner, _ = finished
    _, other = carry_out(tmp_path, test_bonus=0.5)
    assert runner.ran == other.ran


def test_a_failed_study_resumes_without_repeating_runs(tmp_path, finished):
    with pytest.raises(InputError, match=r"the run .* failed .*\n?.*no room left"):
        carry_out(tmp_path, fails_at=12)
    store, second = carry_out(tmp_path)
    assert len(second.ran) == 27 - 12
    whole, _, results = finished
    assert write_report(tmp_path, store) == results
    for name in ("report.md", "report.html"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_a_stop_between_a_runs_end_and_its_measurement_loses_nothing(tmp_path, finished):
    other = Store(tmp_path)
    runner = FormulaRunner(other.runs_dir)
    study = study_runs.study()
    # One run ended and was not measured.
    first = plan.tune_runs(study)[0]
    study_runs.write_run(first.training_run(study), other.runs_dir / first.name)
    process.carry_out(study, other, runner)
    assert first.name not in runner.ran
    results = Results(study, process.finished_records(study, other))
    assert json.loads(json.dumps(to_json(results))) == finished[2]


def test_finished_runs_keep_their_flags_and_numbers_but_no_weights(tmp_path, finished):
    directory, runner, _ = finished
    for name in runner.ran:
        kept = sorted(path.name for path in (directory / "runs" / name).iterdir())
        assert kept == ["diagnostics.json", "history.json", "metrics.json"]
    flags = (directory / "runs" / "baseline-lr0.1-f1-s0-test.flags").read_text()
    assert "--eval_split=test\n" in flags
    models = Store(tmp_path / "models", keep_models=True)
    process.carry_out(study_runs.study(), models, FormulaRunner(models.runs_dir))
    assert (models.runs_dir / runner.ran[0] / "checkpoints" / "ckpt-1").is_file()


def test_runs_with_other_flags_are_refused(tmp_path):
    carry_out(tmp_path)
    store = Store(tmp_path)
    other = study_runs.study(base={"data_dir": "data/none", "max_epochs": "9"})
    with pytest.raises(InputError, match=r"max_epochs=3, --max_epochs=9\); choose a different"):
        process.carry_out(other, store, FormulaRunner(store.runs_dir))


def test_a_run_on_the_wrong_pairs_is_an_error(tmp_path):
    store, runner = carry_out(tmp_path)
    path = store.runs_dir / runner.ran[0] / "metrics.json"
    path.write_text(path.read_text().replace('"validation"', '"test"'))
    with pytest.raises(InputError, match="is on the test pairs, not on the validation ones"):
        process.finished_records(study_runs.study(), store)


def test_tables_hold_ours_beside_the_papers(finished):
    directory, _, _ = finished
    records = process.finished_records(study_runs.study(), Store(directory))
    text = (directory / "report.md").read_text()
    rows = {}
    section = ""
    for line in text.splitlines():
        section = line if line.startswith("### ") else section
        if line.startswith("| "):
            rows.setdefault(section, []).append([cell.strip() for cell in line.split("|")[1:-1]])
    head, *body = rows["### All test pairs, all training pairs"]
    assert head == ["method", "Recall@10", "Recall@50", "MAP@10", "MAP@50"]
    assert [row[0] for row in body] == ["TopPopular", "Baseline", "DO", "FD"]
    fd = next(row for row in body if row[0] == "FD")[2].split("<br>")
    values = [
        one.metrics["overall"]["recall@50"]
        for run, one in records.items()
        if (run.method, run.fraction, run.split) == ("fd", 1.0, "test")
    ]
    mean = f"{sum(values) / 3:.4f}"[1:]
    assert fd[0].startswith(f"**{mean} ± .00")  # best of the column
    assert re.fullmatch(r"\+\d+\.\d %, p (=|<) \.\d+", fd[1])
    assert fd[2] == "paper: .2056 (+6.5 %)"
    # A step takes 0.05 s, with each task as long again.
    speed = {row[0]: row[1:] for row in rows["### Training speed (version 1's Table 6)"]}
    assert speed["Baseline"] == ["20.00 ± 0.00", "1.00", "345.2", "1.00"]
    assert speed["DO"][1:] == ["1.00", "340.8", "0.99"]
    assert speed["FD"] == ["10.00 ± 0.00", "0.50", "142.1", "0.41"]
    questions = rows["### Research questions"][1:]
    assert [row[0].split()[0].rstrip(".") for row in questions] == [
        "RQ1",
        "RQ2",
        "RQ3",
        "RQ4a",
        "RQ4b",
        "RQ5a",
        "RQ5b",
    ]
    assert questions[0][3] == "agree"


def test_the_page_is_self_contained_and_small(finished):
    directory, _, _ = finished
    page = (directory / "report.html").read_text()
    images = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(images) == page.count("<img") == 6
    assert sum(len(data) for _, data in images) < 300_000
    for _, data in images:
        assert b"<svg" in base64.b64decode(data)
    assert not re.search(r'(src|href)="(?!data:)', page)
    markdown = (directory / "report.md").read_text()
    for name in re.findall(r"\]\((figures/[^)]+)\)", markdown):
        assert (directory / name).is_file()


def test_the_figures_of_a_whole_study_stay_small(tmp_path):
    study = study_runs.study(
        methods=tuple(METHODS),
        alphas=(0.1, 0.3, 1.0, 3.0),
        dropout_rates=tuple(tenth / 10 for tenth in range(1, 10)),
        choosing_seeds=2,
    )
    store = Store(tmp_path)
    process.carry_out(study, store, FormulaRunner(store.runs_dir))
    results = Results(study, process.finished_records(study, store))
    drawn = figures.drawings(results, study_runs.FREQUENCY)
    svgs = {drawing.name: figures.to_svg(drawing) for drawing in drawn}
    assert sum(4 * len(svg) / 3 for svg in svgs.values()) < 300_000  # in base64
    texts = re.findall(rb"<text[^>]*>([^<]+)</text>", svgs["alpha"])
    assert {b"0.1", b"0.3", b"1", b"3", b"alpha (log scale)", b"FD+FM+SO"} <= set(texts)
    # Labels of ticks are whole numbers of the axis' step, not cut off.
    heights = [float(text) for text in texts if re.fullmatch(rb"0\.\d+", text)][2:]
    steps = {round(b - a, 6) for a, b in itertools.pairwise(heights)}
    assert len(steps) == 1
    assert steps.pop() > 0


def test_an_unfinished_study_says_so(tmp_path):
    with pytest.raises(InputError):
        carry_out(tmp_path, fails_at=12)
    store = Store(tmp_path)
    write_report(tmp_path, store)
    assert "INCOMPLETE: 12 of 27 runs are finished." in (tmp_path / "report.md").read_text()
    empty = Store(tmp_path / "empty")
    empty.runs_dir.mkdir(parents=True)
    write_report(tmp_path / "empty", empty)
    assert "INCOMPLETE: 0 of 27" in (tmp_path / "empty" / "report.md").read_text()


NASTY = "<b>&amp;x|y\n# h\x1b[2J `c` *e* _f_ [a](http://b) ![i](j) ~~k~~ $l$ www.m\\"


def test_text_from_outside_is_escaped(tmp_path):
    info = dataclasses.replace(
        study_runs.INFO,
        name=NASTY,
        split={"by": NASTY},
        sources=({"path": f"somewhere/{NASTY}".replace("://b", ""), "sha256": "ab"},),
    )
    study = study_runs.study(base={"data_dir": "data/none", "fm_groups": f"{NASTY};*"})
    report.write(tmp_path, Results(study, {}), info, None)
    page = (tmp_path / "report.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;amp;x|y" in page
    text = (tmp_path / "report.md").read_text()
    # In the title, the summary, the table's title, the protocol; twice in cells.
    shown = (
        r"&lt;b>&amp;amp;x\|y \# h\ufffd\[2J \`c\` \*e\* \_f\_ \[a\](http:&#47;/b) !\[i\](j) "
        r"\~\~k\~\~ \$l\$ www&#46;m\\"
    ).replace(r"\ufffd", "\ufffd")
    assert text.count(shown) == 5
    assert text.count(r"&lt;b>") == 6
    assert "<b>" not in text
    lines = {line for line in text.splitlines() if "&lt;b>" in line}
    assert len(lines) == 6  # none broken


@pytest.mark.parametrize(
    "text", ["FD+FM+SO", "title_ngrams (bag, 1,000 ids)", "p < .001", "AT&T & co", "50 %, a - b"]
)
def test_plain_text_stays_as_it_is(text):
    assert markdown.escape(text) == text


def test_starts_are_noted_once_for_each_way_of_running(tmp_path):
    for arguments in (["--a"], ["--a"], ["--b"]):
        provenance.note_start(tmp_path, arguments)
    starts = provenance.read(tmp_path)
    assert [start["command"] for start in starts] == [
        "python -m pipelines.study --a",
        "python -m pipelines.study --b",
    ]
    assert {"commit", "versions", "processor", "cores"} <= starts[0].keys()
