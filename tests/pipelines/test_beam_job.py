import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner

from data_prep import counting, probe, problems, write
from data_prep.facts import take_facts, write_facts
from data_prep.job_options import JobOptions
from pipelines import beam_job, beam_runner
from ssl_recsys.errors import InputError


def count_letters(word):
    counting.count("letters", len(word))
    return word


@pytest.mark.parametrize("args", [[], ["--runner=DirectRunner"], ["--runner=FnApiRunner"]])
def test_runs_in_process_and_returns_the_counters(args):
    def build(pipeline):
        _ = pipeline | beam.Create(["ab", "cde"]) | beam.Map(count_letters)

    assert beam_runner.run(build, args) == {"letters": 5}
    # Beam's DirectRunner would look for another runner's program on the network first.
    assert isinstance(beam_runner._local_runner(PipelineOptions(args)), fn_runner.FnApiRunner)


def test_facts_reach_the_driver(tmp_path):
    probe.leave(str(tmp_path), [])

    def build(pipeline):
        facts = {"n": [2, 1], "file": [("a", 3)]}
        write_facts(
            {kind: pipeline | kind >> beam.Create(values) for kind, values in facts.items()},
            str(tmp_path),
        )

    beam_runner.run(build, [])
    assert take_facts(str(tmp_path)) == {"n": [1, 2], "file": [["a", 3]]}
    probe.remove(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_vocabularies_are_written(tmp_path):
    stats = write.write_vocabulary(("words", ["b", "é"]), str(tmp_path))
    assert stats[:4] == ("words", 3, "vocab/words.txt", 5)
    assert (tmp_path / "vocab" / "words.txt").read_text(encoding="utf-8") == "b\né\n"


def fail(word, directory):
    with problems.reported(directory):
        raise InputError(f"{word} is no number")


def test_an_input_error_in_a_worker_is_reported(tmp_path):
    probe.leave(str(tmp_path), [])

    def build(pipeline):
        _ = pipeline | beam.Create(["one"]) | beam.Map(fail, str(tmp_path))

    assert problems.read_report(str(tmp_path)) is None
    with pytest.raises(Exception, match="no number"):
        beam_runner.run(build, [])
    assert problems.read_report(str(tmp_path)) == "one is no number"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test_fraction": 0.0}, "test_fraction must be in"),
        ({"validation_fraction": 1.5}, "validation_fraction must be in"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "must be below 1"),
        ({"split_seed": -1}, "split_seed"),
    ],
)
def test_bad_splits(fields, message):
    with pytest.raises(InputError, match=message):
        JobOptions(**fields)


def test_shards_by_size_and_kind():
    def num_shards(*files, given=0, text=100):
        options = JobOptions(split_by="page", num_shards=given)
        return beam_job.with_shards(options, files, text).num_shards

    assert num_shards(("xml", 1)) == 1
    assert num_shards(("xml", 100), ("gz", 100)) == 5
    assert num_shards(("xml", 1000), given=3) == 3
    assert num_shards(("xz", 1 << 40), text=1 << 20) == 4096


def test_counter_table_is_aligned_and_complete():
    table = beam_job.counter_table({"seen": 1234, "new": 5}, {"seen": "what", "none": "never"})
    assert table.splitlines() == [
        "  seen  1,234  what",
        "  none      0  never",
        "  new       5",
    ]
