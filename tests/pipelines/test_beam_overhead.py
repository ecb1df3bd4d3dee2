import pickle

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.transforms import core

from pipelines import beam_overhead


class Joins(beam.DoFn):
    def process(self, element, other="x", window=beam.DoFn.WindowParam):
        yield element + other


class JoinsAgain(Joins):
    pass


def test_signatures_are_beams_own():
    plain = core.get_function_args_defaults
    functions = [Joins().process, JoinsAgain().process, Joins.process, len, lambda a, b=2: a]
    with beam_overhead.signatures_once():
        assert core.get_function_args_defaults is not plain
        for function in (*functions, *functions, Joins().setup, Joins().finish_bundle):
            found = core.get_function_args_defaults(function)
            assert found == plain(function)
            found[0].clear()  # what a caller does to its answer is its own
    assert core.get_function_args_defaults is plain
    assert plain(Joins().process) == (
        ["element", "other", "window"],
        ["x", beam.DoFn.WindowParam],
    )


def test_options_are_beams_own():
    args = ["--runner=FnApiRunner", "--direct_num_workers=3", "--unknown=1"]
    ours, plain = beam_overhead.Options(args), PipelineOptions(args)
    assert ours.view_as(DirectOptions) is ours.view_as(DirectOptions)
    assert ours.view_as(DirectOptions).direct_num_workers == 3
    for options in (ours, plain):
        options.view_as(StandardOptions).streaming = True
    assert ours.view_as(StandardOptions).streaming
    assert ours.get_all_options() == plain.get_all_options()
    copied = pickle.loads(pickle.dumps(ours))
    assert copied.get_all_options() == plain.get_all_options()
