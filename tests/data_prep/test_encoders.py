"""Features of an item table: tokens, numbers, scales; and the file that describes them."""

import json

import numpy as np
import pyarrow as pa
import pytest

from data_prep import tables
from data_prep.installs.encoders import ItemFeature, KeyEncoder, make_encoder
from data_prep.installs.items import ItemOptions, ItemRows, choose_items
from data_prep.installs.logs import Keys
from data_prep.installs.scales import encode, learn_scale
from data_prep.installs.spec import InstallSpec, read_spec
from data_prep.splits import text_digests
from ssl_recsys.errors import InputError
from ssl_recsys.raw.rules import NORMALIZATIONS


def column_of(feature, values, kind=None):
    rows = tables.Rows("t.csv", np.arange(2, 2 + len(values)), {"c": pa.array(values, kind)})
    return make_encoder(feature, "key").read(rows)


def test_categorical():
    column, bad = column_of(ItemFeature("f", "categorical", "c"), [" a\nb", None, "c"])
    assert column.to_pylist() == ["a b", "", "c"]
    assert not bad


def test_bags():
    plain = ItemFeature("f", "bag", "c")
    assert column_of(plain, ["x| y |x|", "", None])[0].to_pylist() == [["x", "y"], [], []]
    other = ItemFeature("f", "bag", "c", separator=", ")
    assert column_of(other, ["a, b,c"])[0].to_pylist() == [["a", "b,c"]]
    lists = pa.list_(pa.string())
    assert column_of(plain, [["x|y", " ", "x|y", None], None], lists)[0].to_pylist() == [
        ["x|y"],
        [],
    ]
    words = ItemFeature("f", "bag", "c", words=True)
    assert column_of(words, ["Ätzend: the_Film, THE 2"])[0].to_pylist() == [
        ["ätzend", "the", "film", "2"]
    ]
    runs = ItemFeature("f", "bag", "c", words=True, ngrams=3)
    assert column_of(runs, ["a b c"])[0].to_pylist() == [["a", "b", "c", "a b", "b c", "a b c"]]
    assert column_of(words, ["हिन्दी गाने"])[0].to_pylist() == [["हिन्दी", "गाने"]]
    assert column_of(words, [["One two", "two"]], lists)[0].to_pylist() == [["one", "two"]]


def test_numbers():
    values = ["1.5", "", "NA", "-3", "1e3", "many", "inf"]
    column, bad = column_of(ItemFeature("f", "dense", "c"), values)
    assert np.array_equal(column, [1.5, np.nan, np.nan, -3, 1000, np.nan, np.nan], equal_nan=True)
    assert [str(record) for record in bad] == [
        "t.csv:7: c is no number: 'many'",
        "t.csv:8: c is no number: 'inf'",
    ]
    values = ["1", "1e300", "-4e38", "3.4e38", "9" * 500]
    column, bad = column_of(ItemFeature("f", "dense", "c", normalize="log"), values)
    assert np.array_equal(column, [1, np.nan, np.nan, 3.4e38, np.nan], equal_nan=True)
    assert [str(record) for record in bad][:2] == [
        "t.csv:3: c is beyond the numbers of float32: '1e300'",
        "t.csv:4: c is beyond the numbers of float32: '-4e38'",
    ]
    assert len(str(bad[2])) < 200
    typed, _ = column_of(ItemFeature("f", "dense", "c"), [2, None], pa.int64())
    assert np.array_equal(typed, [2, np.nan], equal_nan=True)


def test_log_scale():
    # log(1 + x) of 0, e - 1, e^2 - 1 is 0, 1, 2: mean 1, deviation sqrt(2/3).
    values = np.expm1([2.0, 0.0, 1.0])
    scale = learn_scale("log", values)
    encoded = encode(scale, np.array([*values, np.nan, 1e300]))
    step = np.sqrt(1.5)
    expected = [[step, 0], [-step, 0], [0, 0], [0, 1], [10, 0]]  # the last one is cut off
    np.testing.assert_allclose(encoded, expected, atol=1e-6)
    assert encoded.dtype == np.float32


def test_quantile_scale():
    scale = learn_scale("quantile", np.array([10.0, 30.0, 20.0, 20.0]))
    encoded = encode(scale, np.array([5.0, 10.0, 20.0, 25.0, 99.0, np.nan]))
    # Shares below (equal ones half): 0, 1/8, 1/2, 3/4, 1.
    np.testing.assert_allclose(encoded[:, 0], [-1, -0.75, 0, 0.5, 1, 0])
    assert encoded[:, 1].tolist() == [0, 0, 0, 0, 0, 1]


def test_other_scales():
    same = learn_scale("standard", np.array([4.0, 4.0]))
    np.testing.assert_allclose(encode(same, np.array([4.0, 5.0]))[:, 0], [0, 1])
    as_is = learn_scale("none", np.array([4.0]))
    np.testing.assert_allclose(encode(as_is, np.array([-70.0]))[:, 0], [-70])
    for normalize in NORMALIZATIONS:
        nothing = learn_scale(normalize, np.zeros(0))
        assert np.isfinite(encode(nothing, np.array([1.0, np.nan]))).all()


SPEC = InstallSpec(
    key="k",
    title="",
    features=(ItemFeature("id", "categorical", "k"), ItemFeature("size", "dense", "s")),
)
OPTIONS = ItemOptions(SPEC, ("a.csv", "b.csv"), num_shards=1)


def rows_of(places, keys, sizes):
    text = pa.array(keys)
    digests = text_digests(keys)
    return ItemRows(digests, np.array(places), text, text, [text, np.array(sizes)])


def test_first_row_of_a_key_is_kept_and_unknown_items_are_added():
    second_file = 1 << 40
    parts = [
        rows_of([second_file | 2, second_file | 3], ["x", "y"], [1.0, 2.0]),
        rows_of([9, 7], ["x", "x"], [3.0, 4.0]),
    ]
    names = [Keys(["x", "z"], text_digests(["x", "z"]))]
    used = np.sort(text_digests(["x", "z"]))
    items, repeated = choose_items(parts, names, used, OPTIONS)
    assert np.all(items.digests[1:] > items.digests[:-1])
    found = dict(zip(items.keys.to_pylist(), items.features[1], strict=True))
    assert found["x"] == 4.0  # of line 7 of the first file
    assert found["y"] == 2.0
    assert np.isnan(found["z"])
    assert sorted(items.features[0].to_pylist()) == ["x", "y", "z"]
    assert [str(record) for record in sorted(repeated)] == ["a.csv:9: 'x'", "b.csv:2: 'x'"]


def write(tmp_path, content):
    path = tmp_path / "spec.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_spec_file(tmp_path):
    spec = read_spec(
        write(
            tmp_path,
            {
                "name": "films",
                "items": {"key": "film"},
                "log": {"user": "viewer", "item": "film"},
                "features": [
                    {"name": "id", "kind": "categorical", "column": "film"},
                    {"name": "year", "kind": "dense", "column": "y", "normalize": "standard"},
                ],
            },
        )
    )
    assert (spec.name, spec.key, spec.title) == ("films", "film", "")
    assert spec.item_columns() == ["film", "y"]
    assert spec.log_columns(needs_time=True, needs_user=False) == ["viewer", "film", "timestamp"]
    assert spec.encoders()["year"].spec(0).max_values == 2
    assert read_spec(write(tmp_path, {})) == InstallSpec()


def test_popularity_from_training():
    spec = InstallSpec().with_popularity_from_training()
    assert [feature.from_training for feature in spec.features] == [False] * 4 + [True, False]
    assert "popularity" not in spec.item_columns()
    with pytest.raises(InputError, match=r"named popularity \(there are id, size\)"):
        SPEC.with_popularity_from_training()


def test_with_key():
    spec = InstallSpec().with_key("package")
    assert spec.key == spec.features[0].column == "package"
    encoders = spec.encoders()
    assert [name for name in encoders if isinstance(encoders[name], KeyEncoder)] == ["id"]


FEATURE = {"name": "f", "kind": "bag", "column": "c"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON .brackets nest too deep"),
        ('{"features": ' + '{"name":' * 100_000, "is no JSON .brackets nest too deep"),
        ('{"name": "a", "name": "b"}', "field 'name' more than once"),
        ('{"name": "\\ud800"}', "is no JSON .*surrogates not allowed"),
        ([], "the file must be an object"),
        ({"name": 7}, "name must be of type str .got 7."),
        ({"items": []}, "items must be of type dict"),
        ({"items": {"key": ["a"]}}, "items: key must be of type str"),
        ({"items": {"title": None}}, "items: title must be of type str .got null."),
        ({"log": {"user": 1}}, "log: user must be of type str"),
        ({"features": [7]}, "feature 1 must be an object"),
        ({"features": [{"name": "a\nb", "kind": "text"}]}, r"feature name 'a\\nb' must start"),
        ({"feature": []}, "unknown field 'feature' .*name, items, log, features"),
        ({"features": {}}, "features must be of type list"),
        ({"features": []}, "at least one"),
        ({"features": [FEATURE, FEATURE]}, "repeated: f"),
        ({"features": [{"name": "f", "kind": "bag"}]}, "name the column"),
        ({"features": [{"kind": "bag"}]}, "feature 1: name is missing"),
        ({"features": [FEATURE | {"kind": "text"}]}, "kind must be one of categorical, bag, dense"),
        ({"features": [FEATURE | {"name": "row"}]}, "taken by a catalog column"),
        ({"features": [FEATURE | {"words": 1}]}, "words must be of type bool"),
        ({"features": [FEATURE | {"ngrams": True}]}, "ngrams must be of type int"),
        ({"features": [FEATURE | {"ngrams": 0}]}, r"ngrams must be in \[1, 10\]"),
        ({"features": [FEATURE | {"separator": ""}]}, "separator must not be empty"),
        ({"features": [FEATURE | {"normalize": "rank"}]}, "log, quantile, standard, none"),
        ({"features": [FEATURE | {"from_training": True}]}, "must be dense"),
        ({"log": {"kind": "views"}}, "history, landing_page"),
        ({"log": {"timestamp_unit": "years"}}, "timestamp_unit must be one of s, ms"),
        ({"items": {"id": "x"}}, "items: unknown field 'id'"),
    ],
)
def test_bad_spec_files(tmp_path, content, message):
    with pytest.raises(InputError, match=rf"spec\.json:? .*{message}"):
        read_spec(write(tmp_path, content))
    with pytest.raises(InputError, match=r"no file .*docs/your_own_data\.md"):
        read_spec(str(tmp_path / "other.json"))
