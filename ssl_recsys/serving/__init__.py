"""From a finished run to live recommendations: items from tables, and an index that is a file."""
