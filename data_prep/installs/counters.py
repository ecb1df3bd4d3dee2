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
    return with_kinds(_OF_LOG | of_log | _OF_DATASET, log)


def with_kinds(of_log: dict[str, str], log: LogSpec) -> dict[str, str]:
    """The counters of a log, and after those of its events those of kinds, where it has any."""
    if not log.kinds:
        return of_log
    names = list(of_log)
    after = names.index("events") + 1
    return {
        name: (of_log | _OF_KINDS)[name] for name in (*names[:after], *_OF_KINDS, *names[after:])
    }
