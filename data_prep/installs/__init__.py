"""App-install logs, or any catalogue with a log: from files of events and items to a dataset."""
