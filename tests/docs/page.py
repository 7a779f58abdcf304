"""Does what a page says: its commands in order, in one shell, in an empty folder, with the files that it shows.

A page is Markdown. In it,

    `name`:            in the line before a block: the block is a file of this name
    ```sh              commands, which must succeed (a last line `command || echo ...` is for one that must not)
    ```text            what the commands before it print on standard output; `...` stands for anything, and blanks are all the same
    <!-- run by X -->  before a block of commands: they are not run here, since X, a file of this tree, does it

Other blocks are not looked at here. `bazel build` is left out: what the commands need is in the path. Channels of a page are
called lab.*; they, and the port 5570, become the run's own.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

# Only a bound on how long a broken page takes.
PATIENCE_S = 100

_BLOCK = re.compile(r"^(?P<lead>[^\n]*)\n```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.S | re.M)


@dataclasses.dataclass
class Step:
    """A block of commands, and what it prints if the page says so."""

    commands: str
    output: str | None = None


@dataclasses.dataclass
class Page:
    """What a page has: files by name, steps, and where its other commands are run."""

    files: dict
    steps: list
    elsewhere: list


def parse(text):
    page = Page({}, [], [])
    step = None
    # A block may be the first thing of a page.
    for block in _BLOCK.finditer("\n" + text):
        lead, kind, body = block["lead"], block["kind"], block["body"]
        name = re.fullmatch(r"`([\w.]+)`:", lead)
        if name:
            page.files[name[1]] = body
        elif kind == "sh" and lead.startswith("<!-- run by "):
            page.elsewhere.append((lead.removeprefix("<!-- run by ").removesuffix(" -->"), body))
            step = None
        elif kind == "sh":
            step = Step("\n".join(line for line in body.splitlines() if not line.startswith("bazel build")))
            page.steps.append(step)
        elif kind == "text" and step and step.output is None:
            step.output = body
    return page


def matches(shown, printed):
    """Whether what was printed is what the page shows."""
    pattern = ".*".join(re.escape(part) for part in " ".join(shown.split()).split("..."))
    # What is left out between two blanks may be nothing.
    pattern = pattern.replace(r"\ .*\ ", r"\ (?:.*\ )?")
    return re.fullmatch(pattern, " ".join(printed.split()), re.S) is not None


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Run:
    """A run of one page: a folder, a port, and names of channels that nobody else has."""

    def __init__(self, programs, python_path):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pylabhub-page-", dir="/tmp"))
        self.prefix = f"lab{os.getpid()}."
        self.port = _free_port()
        (self.folder / "bin").mkdir()
        (self.folder / "work").mkdir()
        for name, path in programs.items():
            self._install(name, pathlib.Path(path).resolve())
        self.environment = {
            "HOME": str(self.folder), "PATH": f"{self.folder}/bin:/usr/bin:/bin", "PYTHONPATH": str(python_path),
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8",
        }

    def _install(self, name, path):
        extra = {
            "pylabhub-broker": f'case "$1" in health | backup | restore) ;; *) set -- --port {self.port} "$@" ;; esac\n',
            "lab_camera": f'set -- --channel {self.prefix}camera "$@"\n',
        }.get(name, "")
        program = self.folder / "bin" / name
        program.write_text(f'#!/bin/sh\n{extra}exec {path} "$@"\n')
        program.chmod(0o755)

    def _own(self, text):
        return re.sub(r"\blab\.(?=[a-z*])", self.prefix, text).replace("5570", str(self.port))

    def _pages(self, text):
        return text.replace(self.prefix, "lab.").replace(str(self.port), "5570").replace(str(self.folder / "work"), "~/lab")

    def run(self, page):
        """What is wrong: nothing if all did as the page says."""
        for name, body in page.files.items():
            (self.folder / "work" / name).write_text(self._own(body))
        marker = "=== end of step ==="
        script = "set -euo pipefail\n" + "".join(
            f"{self._own(step.commands)}\necho '{marker}'\n" for step in page.steps)
        errors = tempfile.TemporaryFile("w+")
        shell = subprocess.Popen(["bash", "-c", script], cwd=self.folder / "work", env=self.environment,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                                 start_new_session=True)
        # Whoever ends the test ends what the page has started, too.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
        late = ""
        try:
            printed, _ = shell.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            printed, _ = shell.communicate()
            late = "the page did not end; "
        finally:
            signal.signal(signal.SIGTERM, before)
            if shell.returncode is None:
                os.killpg(shell.pid, signal.SIGKILL)
        outputs = self._pages(printed).split(marker + "\n")
        if late or shell.returncode != 0:
            at = min(len(outputs) - 1, len(page.steps) - 1)
            errors.seek(0)
            return (f"{late}these commands failed ({shell.returncode}):\n{page.steps[at].commands}\n{outputs[at]}\n"
                    f"all that went to standard error:\n{self._pages(errors.read())}")
        for step, output in zip(page.steps, outputs):
            if step.output is not None and not matches(step.output, output):
                return f"{step.commands}\nprints\n{output}\nand the page says\n{step.output}"
        return self._left_behind(shell.pid)

    def _left_behind(self, group):
        try:
            os.killpg(group, signal.SIGKILL)
            return "a process was left running"
        except ProcessLookupError:
            pass
        left = [name for name in os.listdir("/dev/shm") if self.prefix in name]
        return f"left in /dev/shm: {left}" if left else None

    def close(self):
        for name in os.listdir("/dev/shm"):
            if self.prefix in name:
                os.unlink(f"/dev/shm/{name}")
        # A container's user may own what it wrote.
        shutil.rmtree(self.folder, ignore_errors=True)
