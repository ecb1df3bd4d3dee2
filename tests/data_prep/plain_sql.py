"""A slow and simple reader of SQL rows, one byte at a time: the oracle of the fast one."""

_ESCAPED = {
    "0": "\0",
    "b": "\b",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "Z": "\x1a",
    "%": "\\%",
    "_": "\\_",
}


class PlainError(ValueError):
    """Text that is no rows."""


class IncompleteError(PlainError):
    """Text that ends inside a row."""


def rows(text):
    """The rows of values from the beginning of `text` on, each with a comma or semicolon behind it.

    Returns:
      The complete rows, whether the statement ends behind them, and whether all that was seen, what
      follows the last row too, can be rows.
    """
    reader, found = _Reader(text.decode("latin-1")), []
    try:
        while True:
            row = reader.row()
            mark = reader.take(",;")
            found.append(row)
            if mark == ";":
                return found, True, True
    except IncompleteError:
        return found, False, True
    except PlainError:
        return found, False, False


class _Reader:
    def __init__(self, text):
        self.text, self.at = text, 0

    def peek(self, size=1):
        if self.at + size > len(self.text):
            raise IncompleteError
        return self.text[self.at : self.at + size]

    def skip(self):
        """Space and comments."""
        while True:
            one = self.peek()
            if one.isspace() or one == "\0":
                if one in "\x1c\x1d\x1e\x1f\x85\xa0":
                    return
                self.at += 1
            elif one == "/" and self.peek(2) == "/*":
                end = self.text.find("*/", self.at + 2)
                self.at = self.end_at(end, 2)
            elif one == "#" or (one == "-" and self.peek(2) == "--" and self.comment_follows()):
                self.at = self.end_at(self.text.find("\n", self.at), 1)
            else:
                return

    def comment_follows(self):
        third = self.peek(3)[2]
        return third in " \t\r\n\f\v\0"

    def end_at(self, position, size):
        if position < 0:
            raise IncompleteError
        return position + size

    def take(self, allowed):
        self.skip()
        one = self.peek()
        if one not in allowed:
            raise PlainError(one)
        self.at += 1
        return one

    def row(self):
        self.take("(")
        values = []
        while True:
            self.skip()
            values.append(self.value())
            if self.take(",)") == ")":
                return values

    def value(self):
        start = self.at
        if self.peek() in "'\"":
            return self.string()
        while self.peek().isalnum() or self.peek() in "_+-.":
            if self.peek() in "+-" and self.at > start and self.text[self.at - 1] not in "eE":
                break
            self.at += 1
        word = self.text[start : self.at]
        if word.upper() == "NULL":
            return None
        if word[:1] == "_" and word.isascii() and self.peek() in "'\" \t\r\n":
            while self.peek() in " \t\r\n":
                self.at += 1
            return self.string() if self.peek() in "'\"" else self.fail(word)
        if word[:2] == "0x" and len(word) > 2:
            try:
                return bytes.fromhex("0" * (len(word) % 2) + word[2:])
            except ValueError:
                self.fail(word)
        if not word.isascii() or not any(digit in word for digit in "0123456789"):
            self.fail(word)
        try:
            float(word)
        except ValueError:
            self.fail(word)
        return self.fail(word) if "_" in word else word.encode()

    def fail(self, word):
        raise PlainError(word)

    def string(self):
        quote, value = self.peek(), []
        self.at += 1
        while True:
            one = self.peek()
            self.at += 1
            if one == "\\":
                value.append(_ESCAPED.get(self.peek(), self.peek()))
                self.at += 1
            elif one != quote:
                value.append(one)
            elif self.peek() == quote:
                value.append(quote)
                self.at += 1
            else:
                return "".join(value).encode("latin-1")
