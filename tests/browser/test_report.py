"""The toy's report in a browser, without a network: everything in it is opened, looked at and kept as a picture."""

import base64
from pathlib import Path

import pytest

NARROW = 400  # pixels, of a telephone
LINK = "[...document.querySelectorAll('nav a')].find((link) => link.innerText.trim() === {!r})"


@pytest.fixture(scope="module")
def opened(browser, toy, pictures):
    """Every section and every result of the report, opened as a reader does; what is in them, by path.

    The clicks are those of a mouse, as Snakemake's own page has them: the menu, a category, a result's eye.
    """
    browser.open(toy / "results/report.html")
    browser.when("document.querySelector('#rulegraph canvas, #rulegraph svg') !== null")
    browser.screenshot(pictures / "report/0 first page.png", whole=False)
    begins, menu = (f"document.querySelector('{part}').getBoundingClientRect()" for part in (".prose h1", "nav"))
    assert browser.ask(f"{begins}.top >= 0 && {begins}.left >= {menu}.right"), "the first page begins out of reach"
    for section, there in (("Statistics", "#timeline canvas, #timeline svg"), ("About", "nav li svg")):
        browser.ask(f"{LINK.format(section)}.click()")
        browser.when(f"document.querySelector({there!r}) !== null")
        browser.screenshot(pictures / f"report/0 {section}.png", whole=False)
    found = {}
    for category in browser.ask("Object.keys(categories).sort()"):
        browser.ask("app.setView({ navbarMode: 'menu' })")
        browser.when(f"{LINK.format(category)} !== undefined")
        browser.ask(f"{LINK.format(category)}.click()")
        for number in range(browser.ask("document.querySelectorAll('nav tbody tr').length")):
            eye = f"document.querySelectorAll('nav tbody tr')[{number}].querySelector('a').click()"
            # A label with two values is a switch above the list; without one there is one round.
            for value in range(max(1, browser.ask("document.querySelectorAll('nav fieldset input').length"))):
                browser.ask(f"document.querySelectorAll('nav fieldset input')[{value}]?.click()")
                browser.ask(eye)
                browser.drawn()
                path = browser.ask(
                    "Object.keys(results).find((path) => results[path].data_uri === app.state.contentPath)"
                )
                found[path] = browser.ask(f"results[{path!r}].data_uri")
                browser.screenshot(pictures / f"report/{Path(path).parts[1]} {Path(path).name}.png", whole=False)
                image = "[...document.querySelectorAll('.grow img')].filter((one) => one.naturalWidth > 0).length"
                frames = browser.page.main_frame.child_frames
                assert browser.ask(image) == 1 or len(frames) == 1, f"{path} shows nothing"
        assert not browser.faults(), category
    assert sorted(found) == sorted(browser.ask("Object.keys(results)"))
    return found


@pytest.fixture(scope="module")
def files(opened, tmp_path_factory):
    """The embedded pages and figures as files, by name: alone in a window, each can be measured."""
    folder = tmp_path_factory.mktemp("embedded")
    for path, address in opened.items():
        (folder / Path(path).name).write_bytes(base64.b64decode(address.partition("base64,")[2]))
    return sorted(folder.iterdir())


def test_everything_in_the_report_opens(opened):
    assert {Path(path).suffix for path in opened} == {".html", ".svg"}


def test_the_first_page_leads_to_pages_and_back(browser, toy):
    """Its two figures are drawn, each of its links opens what it names, and what is opened has a link back."""
    browser.open(toy / "results/report.html")
    browser.when("document.querySelector('#first-page') !== null")
    back = "getComputedStyle(document.querySelector('#first-page')).display"
    assert browser.ask("document.querySelectorAll('.prose svg').length") == 2
    links = browser.ask("[...document.querySelectorAll('.prose a')].map((link) => link.getAttribute('href'))")
    pages = [link for link in links if link.startswith("#results/")]
    assert {"#results/toy/tables/main.html", "#results/toy/figures/attacks.svg"} <= set(pages)
    assert browser.ask(back) == "none"
    for page in pages:
        browser.ask(f"document.querySelector(`.prose a[href={page!r}]`).click()")
        browser.when(f"app.state.resultPath === {page[1:]!r} && document.querySelector('.prose') === null")
        assert browser.ask(f"app.state.contentPath === results[{page[1:]!r}].data_uri"), page
        assert browser.ask(back) != "none", page
        browser.ask("document.querySelector('#first-page').click()")
        browser.when("document.querySelector('.prose') !== null")
    assert not browser.faults()


def test_a_page_opened_by_itself_leads_to_the_report(browser, toy):
    browser.open(toy / "results/toy/tables/main.html")
    assert browser.ask("document.querySelector('p a').href") == (toy / "results/report.html").resolve().as_uri()


def test_pages_hold_together(browser, files, pictures):
    faults = {}
    for page in (one for one in files if one.suffix == ".html"):
        browser.open(page)
        browser.screenshot(pictures / f"pages/{page.stem}.png")
        browser.ask("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        browser.drawn()
        browser.screenshot(pictures / f"pages/{page.stem}, unfolded.png")
        faults[page.name] = browser.check("headings", "pictures", "widths", "contrast") + browser.faults()
        browser.open(page, NARROW)
        browser.screenshot(pictures / f"pages/{page.stem}, narrow.png")
        faults[page.name] += browser.check("widths")
    assert faults and not {name: found for name, found in faults.items() if found}


def test_figures_can_be_read(browser, files, pictures):
    faults = {}
    for figure in (one for one in files if one.suffix == ".svg"):
        browser.open(figure)
        browser.screenshot(pictures / f"figures/{figure.stem}.png")
        faults[figure.name] = browser.check("texts", "marks") + browser.faults()
        # As a page shows it that has no more room, to be looked at.
        browser.ask("['width', 'height'].forEach((side) => document.documentElement.setAttribute(side, '100%'))")
        browser.page.set_viewport_size({"width": NARROW, "height": NARROW})
        browser.screenshot(pictures / f"figures/{figure.stem}, narrow.png")
    assert faults and not {name: found for name, found in faults.items() if found}


def test_many_answers_side_by_side(browser, files, pictures):
    """The page of answers with attacks shown too, which is its widest."""
    [page] = [one for one in files if one.name == "generations.html"]
    for name, attacks in (("three attacks", 3), ("all attacks", 1000)):
        browser.open(page)
        boxes = "document.querySelectorAll('#attacks input')"
        browser.ask(f"{boxes}.forEach((box, i) => {{ box.checked = i < {attacks}; }}); {boxes}[0].onchange()")
        browser.ask("document.querySelectorAll('article button').forEach((button) => button.click())")
        browser.drawn()
        browser.screenshot(pictures / f"pages/generations, {name}.png")
        assert not browser.check("headings", "widths", "contrast") + browser.faults()
