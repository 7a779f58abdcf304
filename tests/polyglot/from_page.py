"""Takes a language's program and commands from docs/languages.md. Usage: from_page.py PAGE TITLE FOLDER"""

import pathlib
import re
import sys

page, title, folder = sys.argv[1:]
[section] = re.findall(rf"^### {title}\n(.*?)(?=^###? |\Z)", pathlib.Path(page).read_text(), re.S | re.M)
[commands] = re.findall(r"```sh\n(.*?)```", section, re.S)
[(name, program)] = re.findall(r"^`(\S+)`:\n```\w+\n(.*?)```", section, re.S | re.M)
(pathlib.Path(folder) / "commands.sh").write_text(commands)
(pathlib.Path(folder) / name).write_text(program)
