"""The counters of the app-install job and their meanings."""

from data_prep.installs.spec import HISTORY

# Of records that are listed, too.
LOG_RECORDS_BAD = "log_records_bad"
ITEM_RECORDS_BAD = "item_records_bad"
ITEM_ROWS_REPEATED = "item_rows_repeated"

# In the order of the table at the end.
_OF_LOG = {LOG_RECORDS_BAD: "dropped: records of the log that cannot be read"}
_OF_HISTORIES = {
    "events": "events in the log",
    "events_repeated": "dropped: the user had the item before",
    "users": "users with a history",
    "users_over_cap": "of these, over --max_pairs_per_user",
    "pairs_over_user_cap": "dropped: over --max_pairs_per_user",
}
_OF_PAIRS = {"events": "pairs in the log"}
_OF_DATASET = {
    "pairs_with_itself": "dropped: seed and candidate are the same item",
    "pairs": "ordered (seed, candidate) pairs",
    ITEM_RECORDS_BAD: "rows or values of the item table that cannot be read",
    "item_rows": "rows of the item table",
    ITEM_ROWS_REPEATED: "dropped: an earlier row has the key",
    "items": "records of the catalog",
    "items_in_pairs": "items that occur in pairs",
    "items_without_pair": "items that occur in no pair",
    "items_without_metadata": "items that the log has and the item table has not",
    "items_without_id": "items with id 0: in no training pair, or rare there",
}


def meanings(log_kind: str) -> dict[str, str]:
    """The counters of a job over a log of some kind; one of pairs has no users."""
    return _OF_LOG | (_OF_HISTORIES if log_kind == HISTORY else _OF_PAIRS) | _OF_DATASET
