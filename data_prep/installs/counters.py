"""The counters of the app-install job and their meanings."""

from data_prep.installs.log_spec import HISTORY, LogSpec

# Of records that are listed, too.
LOG_RECORDS_BAD = "log_records_bad"
ITEM_RECORDS_BAD = "item_records_bad"
ITEM_ROWS_REPEATED = "item_rows_repeated"

EVENTS_OF_OTHER_KINDS = "events_of_other_kinds"

# In the order of the table at the end.
_OF_LOG = {LOG_RECORDS_BAD: "dropped: records of the log that cannot be read"}
_OF_KINDS = {EVENTS_OF_OTHER_KINDS: "left out: of a kind that is not listed"}
_OF_NEGATIVES = {
    "negatives": "keys in the log of items that were shown and not chosen",
    "negatives_chosen": "dropped: the item that was chosen, or the seed of the same record",
    "negatives_repeated": "dropped: listed before in the same event",
    "negatives_over_limit": "dropped: over --max_negatives",
}
_NEGATIVES_OF_PAIRS = {
    "negatives_in_pairs": "negatives of the pairs",
    "negatives_unknown": "dropped from pairs: no item of the catalog has the key",
}
_NEGATIVES_OF_QUERIES = {"negatives_of_query": "dropped from pairs: the pair's own query"}
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


def meanings(log: LogSpec) -> dict[str, str]:
    """The counters of a job over a log; one of pairs has no users."""
    of_log = _OF_HISTORIES if log.kind == HISTORY else _OF_PAIRS
    return with_optional(_OF_LOG | of_log | _OF_DATASET, log, queries_are_items=True)


def with_optional(
    of_job: dict[str, str], log: LogSpec, *, queries_are_items: bool
) -> dict[str, str]:
    """The counters of a job with those of kinds and negatives where the log has them.

    They come after those of events and of pairs.
    """
    of_pairs = _NEGATIVES_OF_PAIRS | (_NEGATIVES_OF_QUERIES if queries_are_items else {})
    after = {
        "events": (_OF_KINDS if log.kinds else {}) | (_OF_NEGATIVES if log.negatives else {}),
        "pairs": of_pairs if log.negatives else {},
    }
    found: dict[str, str] = {}
    for name, meaning in of_job.items():
        found |= {name: meaning} | after.get(name, {})
    return found
