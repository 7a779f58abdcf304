"""Every link of the pages leads somewhere: to a file of the tree, and to a heading of that page. Nothing is fetched."""

import pathlib
import re
import unittest

ROOT = pathlib.Path("README.md").resolve().parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def prose(text):
    """Without what is fenced or in backquotes: brackets there are no links."""
    return re.sub(r"`[^`\n]+`", "`code`", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M))


def links(text):
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def anchors(text):
    """Those of the headings, as GitHub makes them."""
    found, times = set(), {}
    for heading in re.findall(r"^#+ +(.*?)\s*$", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = times.get(anchor, 0)
        times[anchor] = count + 1
        found.add(anchor if count == 0 else f"{anchor}-{count}")
    return found


def broken(page, text):
    """What is wrong with the links of a page that has this text."""
    for link in links(text):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.is_relative_to(ROOT) or not file.exists():
            yield f"{page.relative_to(ROOT)}: {link}: no such file"
        elif anchor and anchor not in anchors(text if file == page else file.read_text()):
            yield f"{page.relative_to(ROOT)}: {link}: no such heading"


class LinksTest(unittest.TestCase):

    def test_every_link_leads_to_a_file_and_a_heading(self):
        self.assertGreater(sum(len(links(page.read_text())) for page in PAGES), 50)
        self.assertEqual([problem for page in PAGES for problem in broken(page, page.read_text())], [])

    def test_a_link_that_leads_nowhere_is_found(self):
        page = ROOT / "docs/tool.md"
        text = "# A title: `x`\n[a](README.md) [b](../README.md#use-it) [c](../README.md#nothing) [d](#a-title-x) [e](#b)\n"
        self.assertEqual([problem.split(": ")[1] for problem in broken(page, text)],
                         ["README.md", "../README.md#nothing", "#b"])

    def test_every_page_of_docs_can_be_reached_from_the_readme(self):
        reached, waiting = set(), [ROOT / "README.md"]
        while waiting:
            page = waiting.pop()
            if page in reached or page.suffix != ".md":
                continue
            reached.add(page)
            for link in links(page.read_text()):
                target = link.partition("#")[0]
                if target and "://" not in target:
                    file = (page.parent / target).resolve()
                    waiting += sorted(file.glob("*.md")) if file.is_dir() else [file]
        self.assertEqual([str(page.relative_to(ROOT)) for page in PAGES if page not in reached], [])


if __name__ == "__main__":
    unittest.main()
