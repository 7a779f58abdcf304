"""Has spin check a Promela model: that it holds within its bounds, and that each mutant of it is caught.

A model says in its own comments how it is to be run, so that neither a bound nor a mutant can be forgotten elsewhere:

    // everyday: -DSLOTS=3 -DCRASHES=1      bounds that finish in seconds; may be given more than once
    // soak: -DSLOTS=5 -DCRASHES=2          bounds that take minutes
    // MUTANT_NO_FENCE   torn               a fault that `#ifdef MUTANT_NO_FENCE` builds in, and what it brings about:
                                            the name of the assertion's flag that must fail, or `deadlock`
    // MUTANT_OFF_BY_ONE torn -DSLOTS=5     the same, found only within these bounds

A statement that no bounds reach is a fault of the model, unless its line says why it `may be unreached`. (Spin does not
tell of those inside a d_step, nor of local ones that it merges with the one before.)
"""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile

MEMORY_LIMIT_MB = 4000
MAX_DEPTH = 1000000
SEARCH_TIMEOUT_S = 3000


class ModelError(Exception):
    """The model could not be checked: it does not compile, or the search was cut short."""


@dataclasses.dataclass
class Mutant:
    name: str
    consequence: str
    bounds: list


@dataclasses.dataclass
class Outcome:
    """What a whole search, or one that stopped at an error, found."""

    error: str  # spin's line about it; empty if there is none
    states: int
    unreached: set  # of (file, line, statement)


def bounds_of(text, kind):
    """The lists of defines after `// everyday:` or `// soak:`."""
    return [line.split() for line in re.findall(rf"^//\s*{kind}:\s*(.*)$", text, re.M)]


def mutants_of(text):
    """Every mutant that the model's code names, in that order; an error if its comments do not describe just those."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
    in_code = list(dict.fromkeys(re.findall(r"\bMUTANT_\w+", code)))
    described = {}
    for name, consequence, bounds in re.findall(r"^//\s*(MUTANT_\w+)\s+(\w+)[ \t]*(-D.*)?$", text, re.M):
        described[name] = Mutant(name, consequence, bounds.split())
    differing = set(in_code) ^ set(described)
    if differing:
        raise ModelError(f"in the code or in the comments, but not in both: {', '.join(sorted(differing))}")
    return [described[name] for name in in_code]


def excused_lines(text):
    return {number for number, line in enumerate(text.splitlines(), 1) if "may be unreached" in line}


def run(command, folder, timeout_s):
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False)


class Model:
    def __init__(self, path):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="utf-8") as file:
            self.text = file.read()

    def check(self, defines, optimise=True, max_depth=MAX_DEPTH):
        """Searches the model built with `defines`. Raises ModelError if that says nothing about all of it."""
        with self._workshop() as folder:
            self._build(folder, defines, optimise)
            searched = run(["./pan", f"-m{max_depth}", "-w20"], folder, SEARCH_TIMEOUT_S)
            return self._read(searched.stdout, folder, defines)

    @contextlib.contextmanager
    def _workshop(self):
        """A folder with the model and what it may include; spin and gcc leave their files there."""
        with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as folder:
            source_folder = os.path.dirname(self.path)
            for name in os.listdir(source_folder):
                if name.endswith(".pml"):
                    shutil.copy(os.path.join(source_folder, name), folder)
            yield folder

    def _build(self, folder, defines, optimise):
        generated = run(["spin", "-a", *defines, self.name + ".pml"], folder, 60)
        if generated.returncode != 0 or "Error" in generated.stdout:
            raise ModelError(f"spin refuses {self.name} with {defines}:\n{generated.stdout}")
        compiled = run(["gcc", "-O1" if optimise else "-O0", "-w", "-DSAFETY", "-DVECTORSZ=2048",
                        f"-DMEMLIM={MEMORY_LIMIT_MB}", "-o", "pan", "pan.c"], folder, 120)
        if compiled.returncode != 0:
            raise ModelError(f"gcc refuses what spin made of {self.name}:\n{compiled.stdout}")

    def _read(self, report, folder, defines):
        states = re.search(r"^\s*(\d+) states, stored", report, re.M)
        errors = re.search(r"errors: (\d+)", report)
        if not states or not errors:
            raise ModelError(f"the search of {self.name} with {defines} broke off:\n{report}")
        if errors.group(1) != "0":
            line = re.search(r"^pan:1: (.*)$", report, re.M)
            return Outcome(line.group(1) if line else report, int(states.group(1)), set())
        # Too little depth, memory or time: what was not searched may be wrong.
        if re.search(r"max search depth|Search not completed|out of memory|reached -DMEMLIM", report):
            raise ModelError(f"the search of {self.name} with {defines} was cut short:\n{report}")
        return Outcome("", int(states.group(1)), self._unreached(report, folder))

    def _unreached(self, report, folder):
        found = set()
        for file, line, statement in re.findall(r'^\s+(\S+\.pml):(\d+), state \d+, "(.*)"$', report, re.M):
            with open(os.path.join(folder, file), encoding="utf-8") as source:
                text = source.read()
            endless = statement == "-end-" and re.search(r"^end\w*:", text, re.M)
            if not endless and int(line) not in excused_lines(text):
                found.add((file, int(line), statement))
        return found

    def trail(self, defines, lines=60):
        """The last steps of the shortest way to the error that can be had quickly; for a person to read."""
        with self._workshop() as folder:
            self._build(folder, defines, optimise=False)
            run(["./pan", f"-m{MAX_DEPTH}", "-w20"], folder, SEARCH_TIMEOUT_S)
            steps = run(["spin", "-t", "-p", "-g", "-l", *defines, self.name + ".pml"], folder, 60).stdout
            return "\n".join(steps.splitlines()[-lines:])


def is_consequence(error, consequence):
    """True if spin's `error` is what the model's comment says of the mutant."""
    if consequence == "deadlock":
        return "invalid end state" in error
    return "assertion violated" in error and re.search(rf"\b{consequence}\b", error) is not None


def check_model(model, kind):
    """Lines of what is wrong with the model within its bounds of that kind; empty if it holds."""
    bounds = bounds_of(model.text, kind)
    if not bounds:
        return [f"{model.name} names no `// {kind}:` bounds"]
    wrong = []
    unreached = None
    for defines in bounds:
        outcome = model.check(defines)
        print(f"{model.name} {' '.join(defines)}: {outcome.states} states{': ' + outcome.error if outcome.error else ''}",
              flush=True)
        if outcome.error:
            wrong.append(f"{model.name} with {defines}: {outcome.error}\n{model.trail(defines)}")
            continue
        unreached = outcome.unreached if unreached is None else unreached & outcome.unreached
    wrong += [f"{file}:{line}: never reached: {statement}" for file, line, statement in sorted(unreached or ())]
    return wrong


def check_mutants(model):
    """Lines of what is wrong with the model's mutants: each must be caught, and for what it does."""
    mutants = mutants_of(model.text)
    if not mutants:
        return [f"{model.name} has no mutants, so nothing shows that it can fail"]
    everyday = bounds_of(model.text, "everyday")
    wrong = []
    for mutant in mutants:
        errors = []
        for bounds in [mutant.bounds] if mutant.bounds else everyday:
            outcome = model.check(["-D" + mutant.name, *bounds], optimise=False)
            if outcome.error:
                errors.append(outcome.error)
                break
        print(f"{model.name} {mutant.name}: {errors[0] if errors else 'not caught'}", flush=True)
        if not errors:
            wrong.append(f"{mutant.name} is not caught")
        elif not is_consequence(errors[0], mutant.consequence):
            wrong.append(f"{mutant.name} is caught as '{errors[0]}', and should be as {mutant.consequence}")
    return wrong
