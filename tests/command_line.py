"""Options as a command reads them from its arguments, in this process."""

from __future__ import annotations

from absl import flags

from ssl_recsys import options


def parse(options_class: type[options.AnyOptions], *arguments: object) -> options.AnyOptions:
    """What `cli.run` gives to a command's main."""
    values = flags.FlagValues()
    options.define(options_class, values)
    values(["command", *map(str, arguments)])
    return options.read(options_class, values)
