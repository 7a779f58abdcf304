"""Verbs and flags as --help has them, for the tests of completion."""

import functools
import re
import subprocess

from tests.client.cli.tool import TOOL


@functools.cache
def help_of(*verbs):
    return subprocess.run([TOOL, *verbs, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout


def verbs_below(*verbs):
    text = help_of(*verbs)
    if "\nSubcommands:\n" not in text:
        return []
    return re.findall(r"^  ([a-z]+)\s", text.split("\nSubcommands:\n")[1].split("\n\n")[0], re.M)


def all_verbs(*verbs):
    yield verbs
    for below in verbs_below(*verbs):
        yield from all_verbs(*verbs, below)


def flags_of(*verbs):
    """The long flags that begin a line of the help; its words may speak of other verbs' flags."""
    return set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", help_of(*verbs), re.M))
