"""What the jobs' pipelines must keep to, so that any runner takes them."""

import csv
import json

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.runners.portability.portable_runner import PortableRunner

from data_prep import dataset_files, probe, problems
from data_prep.input_files import InputFile
from data_prep.spill import NO_SPILL
from data_prep.synthetic import wiki_sql
from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.wiki import read_pages
from pipelines import app_install, beam_job, beam_runner, interactions, wikipedia
from ssl_recsys.errors import InputError
from tests import bucket
from tests.install_data import make, write_input, write_lines
from tests.pipelines.test_wikipedia import TINY, contents


def wiki_job(directory, **fields):
    del directory
    return wikipedia.find(wikipedia.WikipediaOptions(dump=str(TINY), **fields))


def sql_job(directory):
    wiki_sql.write_tables(directory, pages(WikiWorld(10, seed=0)), wiki_sql.LAYOUT_2026)
    tables = ("page", "pagelinks", "redirect", "linktarget", "categorylinks", "page_props")
    named = {table: f"{directory}/{table}.sql.gz" for table in tables}
    return wikipedia.find(
        wikipedia.WikipediaOptions(source="sql", hidden_categories="drop", **named)
    )


def install_job(directory, **fields):
    return app_install.find(app_install.AppInstallOptions(**write_input(directory), **fields))


def page_views_job(directory, **more):
    with open(directory / "views.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["seed", "candidate", "timestamp", "shown"], ["a", "b", 1, "c|d"]]
        )
    fields = {"installs": f"{directory}/views.csv", "log_kind": "landing_page", **more}
    return app_install.find(
        app_install.AppInstallOptions(**(write_input(directory) | fields), split_by="pair")
    )


def interactions_job(directory):
    files = write_input(directory)
    return interactions.find(
        interactions.InteractionsOptions(events=files["installs"], items=files["apps"])
    )


def interactions_with_negatives_job(directory):
    write_lines(directory / "shown.csv", [("user_id", "app_id", "timestamp", "shown")])
    events = f"{directory}/shown.csv"
    write_input(directory)
    return interactions.find(
        interactions.InteractionsOptions(
            events=events, items=f"{directory}/apps.csv", negatives_column="shown"
        )
    )


def flattened(job):
    """For each Flatten of a job, as a job server gets it: its name, its inputs' coders."""
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    beam_job._build(job, pipeline, "directory")
    options = PipelineOptions(["--environment_type=LOOPBACK"])
    components = PortableRunner.get_proto_pipeline(pipeline, options).components

    def spelt(coder_id):
        coder = components.coders[coder_id]
        return coder.spec.urn, coder.spec.payload, *map(spelt, coder.component_coder_ids)

    return {
        transform.unique_name: {
            spelt(components.pcollections[name].coder_id) for name in transform.inputs.values()
        }
        for transform in components.transforms.values()
        if transform.spec.urn == common_urns.primitives.FLATTEN.urn
    }


@pytest.mark.parametrize(
    "make_job",
    [
        lambda directory: wiki_job(directory, link_targets="all", split_by="link"),
        sql_job,
        lambda directory: install_job(directory, popularity_from_training=True),
        page_views_job,
        lambda directory: page_views_job(directory, negatives_column="shown"),
        interactions_job,
        interactions_with_negatives_job,
    ],
)
def test_collections_that_are_joined_have_one_coder(tmp_path, make_job):
    # Flink's runner refuses others where it cannot fuse the Flatten with what comes before it.
    found = flattened(make_job(tmp_path))
    assert len(found) > 4
    assert {name: coders for name, coders in found.items() if len(coders) > 1} == {}


def test_threads_are_counted_where_they_run(monkeypatch):
    options = {"keep_titles": False, "num_threads": 0, "directory": ""}
    job = read_pages.ReadPages(None, 1, NO_SPILL, **options)
    monkeypatch.setattr(read_pages, "_cores", lambda: 3)
    monkeypatch.setattr(read_pages, "PageParser", lambda site: None)
    job.setup()
    assert job._executor._max_workers == 3
    job.teardown()


def test_everything_may_lie_in_a_bucket(tmp_path):
    spec = {"name": "apps", "items": {"key": "app_id"}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    named = write_input(tmp_path) | {"features_spec": f"{tmp_path}/spec.json"}
    make(tmp_path / "data", **named)
    bucket.FILES.clear()
    for name in ("log.csv", "apps.csv", "spec.json"):
        bucket.FILES[f"bucket://b/raw/{name}"] = (tmp_path / name).read_bytes()
    remote = {flag: path.replace(str(tmp_path), "bucket://b/raw") for flag, path in named.items()}
    # The driver looks at its input before there is a pipeline that knows of the region.
    with pytest.raises(ValueError, match="region"):
        make("bucket://b/data", **remote)
    make("bucket://b/data", bucket.OPTIONS, **remote)
    written = {
        path.removeprefix("bucket://b/data/"): content
        for path, content in bucket.FILES.items()
        if not path.startswith("bucket://b/raw/")
    }
    expected = contents(tmp_path / "data")
    assert written.keys() == expected.keys()
    assert {name for name in expected if written[name] != expected[name]} == {
        "dataset.json", "manifest.json"
    }  # fmt: skip
    recorded = [json.loads(files["dataset.json"]) for files in (written, expected)]
    assert {key for key in recorded[0] if recorded[0][key] != recorded[1][key]} == {
        "sources", "options"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (
            "data.incomplete-*",
            r"worker on the host .* cannot read .*/data\.incomplete-\w+/probe\.json, which .*",
        ),
        ("apps.csv", r"cannot find the input .*/apps\.csv"),
    ],
)
def test_workers_that_see_other_files_end_the_job_with_the_reason(
    tmp_path, monkeypatch, hidden, message
):
    """The workers run in this process; while they do, files of the command are out of sight."""
    run = beam_runner.run

    def run_elsewhere(build, beam_args):
        (path,) = tmp_path.glob(hidden)
        moved = tmp_path / "moved"

        def build_and_hide(pipeline):
            build(pipeline)
            path.rename(moved)

        try:
            return run(build_and_hide, beam_args)
        finally:
            moved.rename(path)

    monkeypatch.setattr(beam_runner, "run", run_elsewhere)
    with pytest.raises(InputError, match=message + r"\. Input and output must lie where.*bucket"):
        make(tmp_path / "data", **write_input(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apps.csv", "log.csv"]


def test_an_input_of_another_size_is_another_file(tmp_path):
    (tmp_path / "log.csv").write_text("12345")
    probe.leave(str(tmp_path), [InputFile(f"{tmp_path}/log.csv", 6)])
    with pytest.raises(InputError, match=r"finds 5 bytes in .*log\.csv.* found 6; is it another"):
        probe.check(str(tmp_path))


def test_the_reason_is_found_in_what_runners_raise():
    reason = "a worker on the host b cannot read /c/probe.json. It must."
    for text in (
        f"data_prep.probe.UnseenError: {reason} [while running 'ReadPages']",
        f"Pipeline x failed in state FAILED: Traceback: \n UnseenError: {reason}\n\n\tat java.lang",
        f"java.lang.Error: 'UnseenError: {reason}\\n\\tat java'",
    ):
        assert problems.unreported(RuntimeError(text)) == reason
    assert problems.unreported(RuntimeError("Pipeline x failed: OSError: no file")) is None


def test_a_full_disk_ends_the_job_with_the_files_name(tmp_path, monkeypatch):
    create = dataset_files.create

    def create_full(path):
        return open("/dev/full", "wb") if "pairs-train" in path else create(path)

    monkeypatch.setattr(dataset_files, "create", create_full)
    message = r"^cannot write .*/pairs-train\.tfrecord-00000-of-00001: No space left on device$"
    with pytest.raises(InputError, match=message):
        make(tmp_path / "data", **write_input(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apps.csv", "log.csv"]
