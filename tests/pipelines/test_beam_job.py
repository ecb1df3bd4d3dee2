import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner

from data_prep import counting
from pipelines import beam_job


def count_letters(word):
    counting.count("letters", len(word))
    return word


@pytest.mark.parametrize("args", [[], ["--runner=DirectRunner"], ["--runner=FnApiRunner"]])
def test_runs_in_process_and_returns_the_counters(args):
    def build(pipeline):
        _ = pipeline | beam.Create(["ab", "cde"]) | beam.Map(count_letters)

    counters, runner = beam_job.run(build, args)
    assert counters == {"letters": 5}
    assert runner in ("DirectRunner", "FnApiRunner")
    # Beam's DirectRunner would look for another runner's program on the network first.
    assert isinstance(beam_job._local_runner(PipelineOptions(args)), fn_runner.FnApiRunner)


def test_facts_reach_the_driver(tmp_path):
    def build(pipeline):
        facts = [
            pipeline | name >> beam.Create(values)
            for name, values in {"A": [("n", 2), ("n", 1)], "B": [("file", ("a", 3))]}.items()
        ]
        beam_job.write_facts(facts, str(tmp_path))

    beam_job.run(build, [])
    assert beam_job.take_facts(str(tmp_path)) == {"n": [1, 2], "file": [["a", 3]]}
    assert list(tmp_path.iterdir()) == []


def test_vocabularies_are_written(tmp_path):
    def build(pipeline):
        vocabularies = pipeline | beam.Create([("words", ["b", "é"])])
        beam_job.write_facts(
            [beam_job.write_vocabularies(vocabularies, str(tmp_path))], str(tmp_path)
        )

    beam_job.run(build, [])
    assert beam_job.take_facts(str(tmp_path)) == {"vocab_size": [["words", 3]]}
    assert (tmp_path / "vocab" / "words.txt").read_text(encoding="utf-8") == "b\né\n"


def test_counter_table_is_aligned_and_complete():
    table = beam_job.counter_table({"seen": 1234, "new": 5}, {"seen": "what", "none": "never"})
    assert table.splitlines() == [
        "  seen  1,234  what",
        "  none      0  never",
        "  new       5",
    ]
