"""Makes the pages of docs/reference from what they tell of: the programs' --help, the C header, C++ headers and Python docstrings.

Usage: reference.py PAGE DIR, where PAGE is cli, c, cpp or python, and DIR has the built programs. Prints the page. To be run by
/usr/bin/python3, with the package pylabhub in its path; tests/docs/write_reference.sh does all that.
"""

import dataclasses
import inspect
import os
import pathlib
import re
import subprocess
import sys

# What a program in C++ includes; other headers are for these.
CPP_HEADERS = [
    "client/channel.h", "client/channel_handle.h", "client/messenger.h", "client/connect_options.h", "client/messenger_event.h",
    "client/error_reason.h", "client/fake_broker_connection.h", "shm/typed.h", "shm/describe.h", "shm/data_block_producer.h",
    "shm/data_block_consumer.h", "shm/channel_config.h", "shm/consumer_options.h", "shm/write_slot.h", "shm/read_slot.h",
    "shm/slot_result.h", "shm/join_point.h", "shm/read_order.h", "shm/wait_set.h", "shm/zone.h", "shm/metrics.h", "shm/schema.h",
    "shm/schema_difference.h", "shm/diagnosis.h", "client/recording/recorder.h", "client/recording/replayer.h",
]


def made(title, about):
    return f"# {title}\n\n{about} Made by `tests/docs/write_reference.sh`; a test holds it to the code.\n"


def help_of(program, words):
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True,
                          env={"HOME": "/home/you", "PATH": os.environ["PATH"]})
    # CLI11 keeps what an option needs or excludes in no order.
    return re.sub(r"(Needs|Excludes): (--[\w-]+(?: --[\w-]+)*)", lambda found: f"{found[1]}: {' '.join(sorted(found[2].split()))}",
                  done.stdout).strip()


def subcommands(text):
    [listed] = re.findall(r"^Subcommands:\n(.*?)(?:\n\n|\Z)", text, re.S | re.M) or [""]
    return re.findall(r"^  (\w[\w-]*) ", listed, re.M)


def cli(folder):
    """Every verb of both programs, with what all have in common told once."""
    page = made("The command line", "What `--help` says. [tool.md](../tool.md) tells more, and has the exit codes.")
    # The broker's own verbs are not among its options.
    for name, path, more in (("pylabhub", "client/cli/pylabhub", []),
                             ("pylabhub-broker", "broker/pylabhub-broker", [["health"], ["backup"], ["restore"]])):
        program = pathlib.Path(folder) / path
        top = help_of(program, [])
        [footer] = re.findall(r"\n\n(Exit codes: .*)\Z", top, re.S) or [""]
        waiting = [[], *more]
        while waiting:
            words = waiting.pop(0)
            text = help_of(program, words)
            if words and footer:
                text = text.replace(footer, "").strip()
            page += f"\n## {' '.join([name, *words])}\n\n```text\n{text}\n```\n"
            waiting = [[*words, word] for word in subcommands(text)] + waiting
    return page


def one_line(text):
    return " ".join(text.split()).replace("|", "\\|")


def c():
    """Every function that the header declares, under its headings."""
    page = made("C", "The functions of [`shm/c_api.h`](../../shm/c_api.h), which has the structs with their defaults, and the rules on "
                "threads, times and errors. [languages.md](../languages.md#c) has a program.")
    header = pathlib.Path("shm/c_api.h").read_text()
    parts = re.split(r"^/\* ---- (.*?) ---- \*/$", header, flags=re.M)
    for title, part in zip(["The library", *parts[1::2]], parts[::2]):
        rows = ""
        for comment, declaration in re.findall(r"(?:^/\*((?:(?!\*/).)*?)\*/\n)?^PLH_EXPORT ([^;]*);", part, re.S | re.M):
            told = one_line(re.sub(r"^ \* ?", " ", comment, flags=re.M))
            rows += f"| `{one_line(declaration)}` | {told} |\n"
        if rows:
            page += f"\n## {title}\n\n| function | |\n|---|---|\n{rows}"
    return page


def first_paragraph(header):
    [comment] = re.findall(r"\A((?://[^\n]*\n)+)", header)
    return one_line(re.split(r"^//\s*$", comment, flags=re.M)[0].replace("//", " "))


def cpp():
    """What each header is for, and the types that it has."""
    page = made("C++", "What a program includes. Each header says what its types promise: threads, time, ownership, errors. "
                "[data_plane.md](../data_plane.md) and [client.md](../client.md) tell how they fit.")
    page += "\n| header | for | types |\n|---|---|---|\n"
    for name in CPP_HEADERS:
        header = pathlib.Path(name).read_text()
        types = re.findall(r"^(?:class|struct|enum class) (?:\[\[nodiscard\]\] )?(\w+)[^;]*?\{", header, re.M)
        page += f"| [`{name}`](../../{name}) | {first_paragraph(header)} | {' '.join(f'`{each}`' for each in types)} |\n"
    return page


def documentation(thing):
    text = inspect.getdoc(thing) or ""
    # pybind11 begins with the signature.
    return re.sub(r"\A\w+\(self.*?\n+", "", text).strip()


def members(kind):
    if dataclasses.is_dataclass(kind):
        yield from re.findall(r"^    (\w+): [^#\n]*?(?:  # (.*))?$", inspect.getsource(kind), re.M)
        return
    for name in sorted(dir(kind)):
        thing = getattr(kind, name)
        if not name.startswith("_") and (callable(thing) or isinstance(thing, property)):
            yield name + ("" if isinstance(thing, property) else "()"), documentation(thing)


def python():
    """Every public name of the package, with its docstring."""
    import pylabhub  # only this page needs it

    page = made("Python", "The package `pylabhub`. [python.md](../python.md) tells how it is used, and lists the exceptions.")
    page += "\n## Functions\n"
    for name in ("connect", "producer", "consumer", "discover", "channels"):
        function = getattr(pylabhub, name)
        page += f"\n### {name}\n\n```text\n{name}{inspect.signature(function)}\n\n{documentation(function)}\n```\n"
    page += "\n## Classes\n"
    for name in ("Session", "Channel", "Producer", "Consumer", "WriteSlot", "ReadSlot", "Schema"):
        kind = getattr(pylabhub, name)
        page += f"\n### {name}\n\n```text\n{documentation(kind)}\n```\n\n| | |\n|---|---|\n"
        for member, told in members(kind):
            page += f"| `{member}` | {one_line(told)} |\n"
    return page


if __name__ == "__main__":
    wanted, programs = sys.argv[1:]
    print({"cli": lambda: cli(programs), "c": c, "cpp": cpp, "python": python}[wanted](), end="")
