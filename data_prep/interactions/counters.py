"""The counters of the interactions job and their meanings."""

from data_prep.installs.counters import (
    ITEM_RECORDS_BAD,
    ITEM_ROWS_REPEATED,
    LOG_RECORDS_BAD,
    with_optional,
)
from data_prep.installs.log_spec import LogSpec

USER_RECORDS_BAD = "user_records_bad"
USER_ROWS_REPEATED = "user_rows_repeated"

# In the order of the table at the end.
_MEANINGS = {
    LOG_RECORDS_BAD: "dropped: records of the log that cannot be read",
    "events": "events in the log",
    "events_repeated": "dropped: the user had the item before",
    "events_without_history": "no pair: nothing before it is known of the user",
    "queries": "records of the queries' catalog",
    "pairs": "(query, item) pairs",
    USER_RECORDS_BAD: "rows or values of the user table that cannot be read",
    "user_rows": "rows of the user table",
    USER_ROWS_REPEATED: "dropped: an earlier row has the key",
    "users_in_pairs": "users that the log names",
    "users_without_pair": "users of the table that the log does not name, left out",
    "users_without_metadata": "users that the log has and the user table has not",
    "users_without_id": "users with id 0: in no training pair, or rare there",
    ITEM_RECORDS_BAD: "rows or values of the item table that cannot be read",
    "item_rows": "rows of the item table",
    ITEM_ROWS_REPEATED: "dropped: an earlier row has the key",
    "items": "records of the catalog",
    "items_in_pairs": "items that the log names",
    "items_without_pair": "items that the log does not name",
    "items_without_metadata": "items that the log has and the item table has not",
    "items_without_id": "items with id 0: in no training pair, or rare there",
}


def meanings(log: LogSpec) -> dict[str, str]:
    """The counters of a job over a log."""
    return with_optional(_MEANINGS, log, queries_are_items=False)
