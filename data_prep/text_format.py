"""How the text of table files is read: encoding, and whether there is quoting."""

from __future__ import annotations

import dataclasses

from data_prep import input_streams
from data_prep.csv_records import Dialect
from ssl_recsys.errors import InputError

CSV, TSV = "csv", "tsv"
_DELIMITERS = {CSV: ",", TSV: "\t"}
# Whether quotation marks enclose values: in CSV (RFC 4180) they do, and in TSV
# (text/tab-separated-values) they are characters like others, unless the caller knows better.
AUTO, MINIMAL, UNQUOTED = "auto", "minimal", "none"
QUOTINGS = (AUTO, MINIMAL, UNQUOTED)


@dataclasses.dataclass(frozen=True)
class TextFormat:
    """How the text of files is read that are not Parquet.

    Attributes:
      encoding: of files without a byte order mark; empty for UTF-8.
      quoting: one of QUOTINGS.

    Raises:
      InputError: for an unknown encoding or quoting.
    """

    encoding: str = ""
    quoting: str = AUTO

    def __post_init__(self) -> None:
        if self.encoding:
            input_streams.check_encoding(self.encoding)
        if self.quoting not in QUOTINGS:
            raise InputError(
                f"--quoting must be one of {', '.join(QUOTINGS)} (got {self.quoting!r})"
            )

    def dialect(self, file_format: str) -> Dialect:
        """How values are divided in a CSV or TSV file."""
        is_quoted = self.quoting == MINIMAL or (self.quoting == AUTO and file_format == CSV)
        return Dialect(_DELIMITERS[file_format], is_quoted)


DEFAULT_TEXT = TextFormat()
