"""zsh and fish themselves read their completion scripts, and are asked what they offer. (bash: completion_test.py)"""

import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

from tests.client.cli.completion_help import all_verbs, flags_of, verbs_below
from tests.client.cli.flowing import FlowingTest
from tests.client.cli.tool import PATIENCE_S, TOOL

# Completes each line of the file $ASKED as a key does, and writes what is offered to $OFFERED.
ZSH_ASK = """
compadd() {
  if (( ${argv[(I)-(O|A|D)]} )); then builtin compadd "$@"; return; fi
  local -a found
  builtin compadd -O found "$@"
  (( $#found )) && print -rl -- "${found[@]}" >>$OFFERED
  (( $#found ))
}
ask() {
  local line
  for line in "${(@f)$(<$ASKED)}"; do
    print -r -- "> $line" >>$OFFERED
    BUFFER=$line CURSOR=$#line
    zle list-choices
  done
  BUFFER=
  print -r -- "> end" >>$OFFERED
}
zle -N ask
bindkey '^T' ask
print -r -- "ready" >$OFFERED
"""


class ShellTest(FlowingTest):
    shell = ""

    def setUp(self):
        super().setUp()
        if shutil.which(self.shell) is None:
            self.skipTest(f"{self.shell} is not installed; third_party/install.sh check does that")
        self.environment = {**os.environ, "HOME": self.config, "XDG_DATA_HOME": self.config, "TERM": "vt100",
                            "PATH": f"{os.path.dirname(TOOL)}:{os.environ['PATH']}",
                            "PYLABHUB_DIRECTORY": self.directory}

    def write(self, name, text):
        with open(self.scratch(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.scratch(name)

    def script(self):
        code, output, errors = self.run_tool("completion", self.shell)
        self.assertEqual((code, errors), (0, ""))
        return output.decode()

    def by_line(self, text, lines):
        """What was offered for each line: `text` has "> LINE", then a word on each line."""
        parts = re.split(r"(?m)^> (.*)\n", text)[1:]
        offered = dict(zip(parts[::2], (part.split() for part in parts[1::2])))
        self.assertEqual([line for line in lines if line not in offered], [])
        return offered

    def offered(self, *lines):
        raise NotImplementedError

    def check_every_verb_and_flag(self):
        verbs = list(all_verbs())
        offered = self.offered(*[" ".join(("pylabhub", *path, end)) for path in verbs for end in ("", "--")])
        checked = 0
        for path in verbs:
            below = verbs_below(*path)
            if below:
                self.assertEqual(sorted(offered[" ".join(("pylabhub", *path, ""))]), sorted(below))
            flags = flags_of(*path)
            self.assertLessEqual(flags, set(offered[" ".join(("pylabhub", *path, "--"))]), path)
            checked += len(flags)
        self.assertGreater(checked, 80)

    def check_words_files_and_channels(self):
        schema = self.write("a.schema", "")
        publisher = self.flow("camera.left")
        self.await_slots("camera.left", 0)
        wanted = {
            "pylabhub desc": ["describe"],
            "pylabhub channels --output ": ["json", "table"],
            "pylabhub tail x --output j": ["json"],
            "pylabhub completion z": ["zsh"],
            "pylabhub publish x --policy s": ["single_reader", "sync_reader"],
            "pylabhub tail x --count ": [],
            "pylabhub tail cam": ["camera.left"],
            "pylabhub describe ": ["camera.left"],
            "pylabhub tail x": [],
        }
        file = f"pylabhub publish x --schema {schema[:-3]}"
        offered = self.offered(*wanted, file)
        for line, words in wanted.items():
            self.assertEqual(sorted(offered[line]), words, line)
        # zsh offers what comes after the folder, fish all of it.
        self.assertEqual([os.path.basename(word) for word in offered[file]], ["a.schema"])
        self.end(publisher)


class FishTest(ShellTest):
    shell = "fish"

    def offered(self, *lines):
        path = self.write("pylabhub.fish", self.script())
        body = f"source {path}; for line in $argv; echo \"> $line\"; complete -C $line; end"
        done = subprocess.run(["fish", "--no-config", "-c", body, *lines], env=self.environment, capture_output=True,
                              text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # A word, and after a tab what it means.
        return self.by_line(re.sub(r"(?m)\t.*$", "", done.stdout), lines)

    def test_every_verb_and_flag_of_help_is_completed(self):
        self.check_every_verb_and_flag()

    def test_words_files_and_channels_are_completed(self):
        self.check_words_files_and_channels()


class ZshTest(ShellTest):
    shell = "zsh"

    def setUp(self):
        super().setUp()
        self.in_folder = False

    def start_shell(self, *more):
        """An interactive zsh that has read the script; returns its terminal."""
        terminal, own = pty.openpty()
        self.addCleanup(os.close, terminal)
        shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=own, stdout=own, stderr=own, env={**self.environment, **dict(more)},
                                 start_new_session=True)
        self.processes.append(shell)
        os.close(own)
        return terminal

    def await_text(self, terminal, path, text):
        """Reads the terminal, so that the shell goes on, until the file has the text."""
        deadline = time.monotonic() + PATIENCE_S
        seen = b""
        while True:
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    written = file.read()
                if text in written:
                    return written
            self.assertLess(time.monotonic(), deadline, seen.decode(errors="replace"))
            if select.select([terminal], [], [], 0.02)[0]:
                seen += os.read(terminal, 4096)

    def offered(self, *lines):
        offered = self.scratch("offered")
        if os.path.exists(offered):
            os.unlink(offered)
        if self.in_folder:
            os.makedirs(self.scratch("functions"), exist_ok=True)
            self.write("functions/_pylabhub", self.script())
            begin = f"fpath=({self.scratch('functions')} $fpath); autoload -Uz compinit; compinit -u -D\n"
        else:
            begin = f"autoload -Uz compinit; compinit -u -D; source {self.write('script', self.script())}\n"
        setup = self.write("setup", begin + ZSH_ASK)
        terminal = self.start_shell(("ASKED", self.write("lines", "\n".join(lines))), ("OFFERED", offered))
        os.write(terminal, f"source {setup}\n".encode())
        self.await_text(terminal, offered, "ready\n")
        os.write(terminal, b"\x14")
        return self.by_line(self.await_text(terminal, offered, "> end\n"), lines)

    def test_every_verb_and_flag_of_help_is_completed(self):
        self.check_every_verb_and_flag()

    def test_words_files_and_channels_are_completed(self):
        self.check_words_files_and_channels()

    def test_a_folder_of_functions_does_as_well(self):
        self.in_folder = True
        offered = self.offered("pylabhub desc", "pylabhub completion ")
        self.assertEqual(offered["pylabhub desc"], ["describe"])
        self.assertEqual(sorted(offered["pylabhub completion "]), ["bash", "fish", "zsh"])


# Not a test by itself.
del ShellTest


if __name__ == "__main__":
    unittest.main()
