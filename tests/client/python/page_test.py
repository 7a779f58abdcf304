"""The pages' Python: every snippet of docs/python.md, in order, as one program; and docs/languages.md's examples."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import pylabhub
from lab import PATIENCE_S, Broker, Peer, channel_name

RUN = channel_name("page")


def snippets(page, language):
    return re.findall(rf"```{language}\n(.*?)```", pathlib.Path(page).read_text(), re.S)


def with_own_channels(text):
    """The pages' channels under names that no other run has."""
    return re.sub(r'"((?:sensor|camera|asyncio|stage)\.[a-z.]*|adc)"', rf'"{RUN}.\1"', text)


class PythonPageTest(unittest.TestCase):
    def test_every_snippet_runs(self):
        blocks = snippets("docs/python.md", "python")
        self.assertGreaterEqual(len(blocks), 8)
        broker = Broker()
        self.addCleanup(broker.close)
        names = {"broker_address": broker.address, "certificates": broker.certificates}
        for number, block in enumerate(blocks):
            code = with_own_channels(block)
            with self.subTest(number=number):
                exec(compile(code, f"docs/python.md, snippet {number}", "exec"), names)
        for thing in names.values():
            if isinstance(thing, (pylabhub.Producer, pylabhub.Consumer)):
                thing.close()

    def test_the_exceptions_that_are_listed_are_those_that_there_are(self):
        table = pathlib.Path("docs/python.md").read_text().split("## Exceptions")[1].split("##")[0]
        rows = re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.M)
        listed = set()
        for kinds, base in rows:
            for kind in re.findall(r"`(\w+)`", kinds):
                listed.add(kind)
                for parent in re.findall(r"`(\w+)`", base):
                    parents = [c.__name__ for c in getattr(pylabhub, kind).__mro__]
                    self.assertIn(parent, parents)
        there = {name for name in pylabhub.errors.__all__} - {"PylabhubError", "ProducerGone"}
        self.assertEqual(listed, there)


class ReadmeTest(unittest.TestCase):
    def test_its_consumer_prints_what_it_receives(self):
        [program] = snippets("README.md", "python")
        channel = channel_name("readme")
        with pylabhub.producer(channel, [("celsius", "f8")], units={"celsius": "Cel"}, min_consumers=1) as producer:
            with Peer(sys.executable, "-u", "-c", program.replace("sensor.temperature", channel)) as reader:
                producer.write((21.5,), PATIENCE_S)
                self.assertEqual(reader.hear(), "21.5 Cel")
                producer.close()
                self.assertEqual(reader.finish(), 0)


class LanguagesPageTest(unittest.TestCase):
    def test_what_c_writes_python_reads(self):
        # The page's further Python is for the broker: tests/polyglot.
        [c_program], [python_program, *_] = (snippets("docs/languages.md", language) for language in ("c", "python"))
        channel = channel_name("languages")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "program.c"
            source.write_text(c_program.replace("sensor.pressure", channel))
            library = os.path.abspath("shm")
            subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", ".", source, "-o", folder + "/program",
                            f"-L{library}", "-l:libpylabhub_shm.so", f"-Wl,-rpath,{library}"], check=True)
            with Peer(sys.executable, "-u", "-c", python_program.replace("sensor.pressure", channel)) as reader:
                subprocess.run([folder + "/program"], check=True, timeout=PATIENCE_S)
                self.assertEqual([reader.hear() for _ in range(3)], ["1013.0 hPa", "1014.0 hPa", "1015.0 hPa"])
                self.assertEqual(reader.finish(), 0)


if __name__ == "__main__":
    unittest.main()
