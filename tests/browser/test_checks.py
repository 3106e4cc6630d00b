"""Every check of a page or a figure finds the fault that it is for, and nothing in one without."""

import pytest

PAGE = '<!doctype html><html lang="en"><head><title>t</title></head><body>{}</body></html>'
FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" width="144pt" height="144pt" viewBox="0 0 144 144">{}</svg>'
PANEL = '<title>t</title><text x="9" y="20" style="font-size: 8px">up</text><g id="axes_1">'
PANEL += '<g id="patch_2"><path d="M9 30H90V90H9z"/></g><g id="patch_3"><path d="M9 30V90" stroke="black"/></g>{}</g>'
WIDE = "<table><tr><td><div style='width: 3000px'>wide</div></td></tr></table>"
DOT = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
GOOD = f"<h1>One</h1><h2>Two</h2><h3>Three</h3><h2>Four</h2><img src=\"{DOT}\" alt='a dot'>"
GOOD += f"<div style='overflow-x: auto'>{WIDE}</div><p style='color: #666'>grey</p><details><p>hidden</p></details>"
BAR = '<g id="patch_4"><path d="M20 50H30V90H20z"/></g>'
POINT = '<defs><path id="m" d="M0 0H5V5z"/></defs><g id="point-retain-2"><use href="#m" x="20" y="60"/></g>'
CURVE = '<g id="line2d_9"><path d="M20 50L50 90" stroke="black"/></g>'


def opened(browser, path, text):
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    return browser


def test_a_page_without_fault(browser, tmp_path):
    found = opened(browser, tmp_path / "page.html", PAGE.format(GOOD))
    assert not found.check("headings", "pictures", "widths", "contrast") + found.faults()


@pytest.mark.parametrize(
    ("body", "check", "said"),
    [
        ("<h2>Two</h2>", "headings", "0 headings h1"),
        ("<h1>One</h1><h1>Two</h1>", "headings", "2 headings h1"),
        ("<h1>One</h1><h3>Three</h3>", "headings", 'h3 "Three" follows h1'),
        ("<img src='nowhere.png' alt='nothing'>", "pictures", "no picture: nowhere.png"),
        ("<img src='data:image/png;base64,AAAA' alt='empty'>", "pictures", "no picture"),
        (f'<img src="{DOT}">', "pictures", "no alternative text"),
        (WIDE, "widths", "sticks out"),
        ("<p style='width: 1400px'>long</p>", "widths", "px too wide"),
        (
            "<table style='table-layout: fixed; width: 90px'><tr><td>unbreakable-and-much-too-long_for_it<td>b</table>",
            "widths",
            "sticks out of its cell",
        ),
        ("<p style='color: #999'>grey</p>", "contrast", 'contrast 2.85 of "grey"'),
        ("<p style='background: #222'><b>dark</b></p>", "contrast", 'of "dark"'),
        ("<p style='color: rgb(0 0 0 / 40%)'>faint</p>", "contrast", 'of "faint"'),
    ],
)
def test_faults_of_pages_are_found(browser, tmp_path, body, check, said):
    assert said in "\n".join(opened(browser, tmp_path / "page.html", PAGE.format(body)).check(check))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("console.error('broken', 3)", "error: broken 3"),
        ("throw new Error('thrown')", "error: Error: thrown"),
        ("Promise.reject(new Error('left'))", "error: Error: left"),
        ("fetch('https://example.org/x.json').catch(() => 0)", "request: https://example.org/x.json"),
        (
            "document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1/a.png' }))",
            "request: http://127.0",
        ),
        ("new WebSocket('wss://example.org/')", "request: wss://example.org/"),
        ("document.body.append(Object.assign(new Image(), { src: 'beside.png' }))", "beside.png"),
    ],
)
def test_errors_and_requests_are_found(browser, tmp_path, script, said):
    found = opened(browser, tmp_path / "page.html", PAGE.format(f"<h1>One</h1><script>{script}</script>"))
    assert any(said in fault for fault in found.faults()), found.faults()


def test_a_request_to_the_outside_fails(browser, tmp_path):
    found = opened(browser, tmp_path / "page.html", PAGE.format("<h1>One</h1>"))
    for address in ("http://example.org/", "http://127.0.0.1/"):
        assert found.ask(f"fetch('{address}', {{ mode: 'no-cors' }}).then(() => 'came', () => 'failed')") == "failed"


@pytest.mark.parametrize("mark", [BAR, CURVE, POINT, '<g id="text_3"><text x="20" y="60">no curve</text></g>'])
def test_a_figure_without_fault(browser, tmp_path, mark):
    found = opened(browser, tmp_path / "figure.svg", FIGURE.format(PANEL.format(mark)))
    assert not found.check("texts", "marks") + found.faults()


@pytest.mark.parametrize(
    ("inside", "check", "said"),
    [
        (PANEL.format(""), "marks", "axes_1 is empty"),
        (PANEL.format('<g id="line2d_9"><path d="M9 50H90" stroke="red"/></g>'), "marks", "axes_1 is empty"),
        ("<rect width='9' height='9'/>", "marks", "no panel"),
        (PANEL.partition("</title>")[2].format(BAR), "texts", "no title"),
        ("<title>t</title>", "texts", "no text"),
        (PANEL.format('<text x="50" y="120" style="font-size: 5px">small</text>'), "texts", '"small" is 5.0 pt'),
        (PANEL.format('<text x="12" y="20" style="font-size: 8px">over</text>'), "texts", '"up" and "over" overlap'),
        (
            PANEL.format('<text x="9" y="20" style="font-size: 8px" transform="rotate(45 9 20)">turned</text>'),
            "texts",
            '"up" and "turned" overlap',
        ),
        (PANEL.format('<text x="130" y="120" style="font-size: 8px">outside</text>'), "texts", "sticks out"),
    ],
)
def test_faults_of_figures_are_found(browser, tmp_path, inside, check, said):
    assert said in "\n".join(opened(browser, tmp_path / "figure.svg", FIGURE.format(inside)).check(check))


def test_turned_texts_side_by_side_do_not_overlap(browser, tmp_path):
    """As the names below a heatmap: their upright boxes meet, they themselves do not."""
    turned = "".join(
        f'<text x="{x}" y="70" style="font-size: 8px; text-anchor: end" transform="rotate(-60 {x} 70)">name</text>'
        for x in (60, 72, 84)
    )
    assert not opened(browser, tmp_path / "figure.svg", FIGURE.format(PANEL.format(turned))).check("texts")
