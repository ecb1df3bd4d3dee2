"""A server in a process of its own under mixed load: what it answers, says, and how it ends."""

import json
import pathlib
import shutil

from benchmarks import serving_soak
from benchmarks.server_process import serving
from tests import listening

BUSY = {"POST 503", "GET 503", "PUT 503", "DELETE 503", "recommend 503"}


def test_every_answer_is_right_while_items_and_index_change(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    options = serving_soak.Options(
        model_dir=str(trained), work=str(tmp_path), minutes=0.05, changes=30, reloads=3, clients=3
    )
    rows = {row.name: row for row in serving_soak.measure(options).rows}
    assert rows["wrong answers"].value == 0
    assert rows["exit status after SIGTERM"].value == 0
    assert (rows["changes"].value, rows["reloads"].value) == (30, 3)
    assert rows["recommend 200"].value > 0
    answered = {name for name in rows if name.split()[-1].isdecimal()}
    assert answered - BUSY <= {
        "recommend 200", "GET 200", "GET 404", "PUT 200", "PUT 201", "DELETE 200", "POST 200"
    }  # fmt: skip


def test_it_listens_on_this_machine_only_and_logs_json(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    with serving([tmp_path / "run"], tmp_path / "log") as server:
        assert listening.addresses() == {"127.0.0.1"}
        assert server.stop() == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert requests
    assert {"request_id", "route", "status", "ms"} <= requests[-1].keys()
