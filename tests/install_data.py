"""A small install log and item table, and what the job makes of them by hand."""

import gzip

from pipelines import app_install

HOUR = 3600
LOG = [
    # u1: c comes 29 hours after b, and the second b does not count.
    ("u1", "a", 0), ("u1", "b", HOUR), ("u1", "c", 30 * HOUR), ("u1", "b", 40 * HOUR),
    ("u2", "a", 0), ("u2", "b", 2 * HOUR), ("u2", "x", 3 * HOUR),
    ("u3", "d", 48 * HOUR), ("u3", "a", 50 * HOUR), ("u3", "b", 52 * HOUR),
    ("u4", "c", 60 * HOUR), ("u4", "a", 61 * HOUR), ("u4", "e", 70 * HOUR),
]  # fmt: skip
APPS = [
    ("app_id", "developer_name", "categories", "title", "popularity", "quality"),
    ("a", "dev1", "G1|G2", "Alpha game", "100", "0.9"),
    ("b", "dev1", "G1", "Beta game", "10", ""),
    ("c", "dev2", "G3", "Gamma", "1000", "0.5"),
    ("d", "dev2", "G2", "Delta alpha", "", "0.1"),
    ("e", "dev3", "G4", "Epsilon", "5", "0.3"),
    ("f", "dev3", "G1", "Phi game", "7", "0.2"),
]
# By time; x has no row in the table.
PAIRS = {
    "train": [("a", "b"), ("a", "b"), ("a", "x"), ("b", "x"), ("d", "a")],
    # ten pairs: validation begins with the seventh, and takes the sixth of the same time along
    "validation": [("a", "b"), ("c", "a"), ("d", "b")],
    "test": [("a", "e"), ("c", "e")],
}
FRACTIONS = {"validation_fraction": 0.2, "test_fraction": 0.2}


def write_lines(path, rows, separator=","):
    text = "".join(separator.join(str(value) for value in row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_input(directory, log=LOG, apps=APPS):
    write_lines(directory / "log.csv", [("user_id", "app_id", "timestamp"), *log])
    write_lines(directory / "apps.csv", apps)
    return {"installs": f"{directory}/log.csv", "apps": f"{directory}/apps.csv"}


def make(output_dir, beam_args=(), **fields):
    options = app_install.AppInstallOptions(output_dir=str(output_dir), **(FRACTIONS | fields))
    return app_install.make_dataset(options, beam_args)
