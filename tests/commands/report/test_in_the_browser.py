"""The report as a browser shows it, from disk: nothing fetched, no fault, and it does what it says.

Needs Chromium; Debian's `chromium`, or another one that is on the path. All share one report and
one browser; the costly ones are `hard` (`make test-hard`).
"""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from lungseg.commands.report.collect import page_names
from lungseg.commands.report.report import Wanted, write_report
from tests.commands.report.work_folder import GOOD, HOSTILE, write_work
from tests.hard_cases import hard

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the report's pages are not tested; install chromium"
)
# The volume is drawn by the CPU where there is no graphics card.
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
# Contrast of text to its background (WCAG 2.2, AA), over everything that has text of its own.
CONTRASTS = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const one of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const apart = one.closest(".picture, .disabled, svg, .skip, noscript, script");
    if (!own || apart || !one.offsetParent) continue;
    const [a, b] = [rgb(getComputedStyle(one).color), behind(one)].map(light);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push([one.className, one.textContent.trim().slice(0, 30), contrast]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return write_work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def out(session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(session, Wanted(folder))
    return folder


@pytest.fixture(scope="module")
def name(session):
    return page_names(session.all_sources)[GOOD]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        shown = play.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        yield shown
        shown.close()


@pytest.fixture
def opened(browser, out):
    """Opens a page of the report; in the end nothing was fetched and nothing went wrong."""
    faults, contexts = [], []

    def open_page(path, width=1280, scheme="light", **how):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **how
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type == "error" and faults.append(m.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda d: faults.append(f"dialog {d.message}"))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "data:", "blob:")) or faults.append(r.url),
        )
        page.on("requestfailed", lambda r: faults.append(f"failed {r.url}"))
        page.goto(f"file://{out / path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def scan(opened, name):
    page = opened(f"scans/{name}/index.html")
    page.wait_for_selector('body[data-ready="yes"]')
    return page


def slice_of(page, plane="axial"):
    return int(page.input_value(f'[data-plane="{plane}"] input'))


def drawn(page, plane="axial"):
    """The slice that the canvas shows, once it does."""
    wanted = slice_of(page, plane)
    page.wait_for_selector(f'[data-plane="{plane}"] canvas[data-slice="{wanted}"]')
    return wanted


def outline(page, layer, plane="axial"):
    return page.locator(f'[data-plane="{plane}"] svg path.l-{layer}').get_attribute("d")


def test_the_slider_moves_through_slices_with_their_outlines(scan):
    first, before = drawn(scan), outline(scan, "left")
    scan.fill('[data-plane="axial"] input', str(first + 7))
    assert drawn(scan) == first + 7
    assert outline(scan, "left") != before
    assert scan.text_content('[data-plane="axial"] output').startswith(f"{first + 8} of ")


def test_the_picture_is_dark_where_the_outline_of_the_left_lung_is(scan):
    drawn(scan)
    scan.keyboard.press("w")
    box = scan.evaluate("""() => {
      const svg = document.querySelector('[data-plane="axial"] svg');
      const box = svg.querySelector("path.l-left").getBBox(), all = svg.viewBox.baseVal;
      const { width, height } = all;
      return [box.x / width, box.y / height, box.width / width, box.height / height];
    }""")
    scan.keyboard.press("o")
    shown = scan.locator('[data-plane="axial"] .picture').screenshot()
    with Image.open(io.BytesIO(shown)) as picture:
        grey = np.asarray(picture.convert("L"), float)
    rows, columns = grey.shape
    x, y, width, height = box
    inside = grey[
        round((y + 0.45 * height) * rows) : round((y + 0.55 * height) * rows),
        round((x + 0.8 * width) * columns) : round((x + 0.95 * width) * columns),
    ]
    assert x > 0.5, "the left lung is on the right of the picture"
    # In the soft-tissue window lung is black; the mediastinum beside it is not.
    assert np.median(inside) < 20
    assert np.median(grey[:, round(0.48 * columns) : round(0.52 * columns)]) > 60


def test_a_candidate_of_the_list_jumps_to_its_slice_in_all_planes(scan):
    at = scan.evaluate('JSON.parse(document.getElementById("data").textContent).candidates[1].at')
    planes = scan.evaluate('JSON.parse(document.getElementById("data").textContent).planes')
    scan.click('[data-candidate="2"]')
    for plane in planes:
        assert drawn(scan, plane["name"]) == round(at[plane["along"]] / plane["every"])
    assert scan.locator('[data-plane="axial"] svg ellipse.l-faint').count() == 1
    assert "Candidate 2" in scan.text_content("#chosen")
    assert scan.url.endswith("#candidate=2")


def test_keys_move_slices_choose_places_and_change_the_window(scan):
    start = drawn(scan)
    assert "by the reducer0.9600" in scan.text_content("#chosen")
    scan.keyboard.press("ArrowUp")
    assert drawn(scan) == start + 1
    scan.keyboard.press("PageDown")
    assert drawn(scan) == start - 9
    scan.keyboard.press("j")
    assert "Candidate 2" in scan.text_content("#chosen")
    scan.keyboard.press("j")
    assert "Nodule 1" in scan.text_content("#chosen")
    scan.keyboard.press("k")
    assert "Candidate 2" in scan.text_content("#chosen")
    scan.keyboard.press("w")
    assert scan.get_attribute("body", "data-window") == "soft"
    assert scan.is_checked('input[value="soft"]')
    style = scan.get_attribute('[data-plane="axial"] canvas', "style")
    assert "#window-soft" in style
    scan.keyboard.press("2")
    there = slice_of(scan, "coronal")
    scan.keyboard.press("ArrowLeft")
    assert drawn(scan, "coronal") == there - 1
    scan.keyboard.press("o")
    assert scan.locator(".picture svg path").count() == 0


@pytest.mark.hard
def test_a_slider_that_has_the_focus_moves_by_one(scan):
    start = drawn(scan)
    scan.focus('[data-plane="axial"] input')
    scan.keyboard.press("ArrowRight")
    assert drawn(scan) == start + 1


def test_a_click_on_a_plane_moves_the_others_there(scan):
    drawn(scan)
    box = scan.locator('[data-plane="axial"] .picture').bounding_box()
    scan.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    planes = scan.evaluate('JSON.parse(document.getElementById("data").textContent).planes')
    sagittal = next(plane for plane in planes if plane["name"] == "sagittal")
    axial = next(plane for plane in planes if plane["name"] == "axial")
    wanted = (axial["columns"] * 0.25 - 0.5) / sagittal["every"]
    assert abs(drawn(scan, "sagittal") - wanted) <= 1


@pytest.mark.hard
def test_zoom_shows_what_is_around_the_point(scan):
    whole = scan.get_attribute('[data-plane="axial"] svg', "viewBox").split()
    scan.keyboard.press("z")
    part = scan.get_attribute('[data-plane="axial"] svg', "viewBox").split()
    assert float(part[2]) == pytest.approx(float(whole[2]) / 3)
    scan.uncheck("#zoom")
    assert scan.get_attribute('[data-plane="axial"] svg', "viewBox").split() == whole


@pytest.mark.hard
def test_outlines_can_be_left_out_one_by_one(scan):
    assert scan.locator('[data-plane="axial"] path.l-right').count() == 1
    scan.uncheck('[data-layer="right"]')
    assert scan.locator('[data-plane="axial"] path.l-right').count() == 0
    assert scan.locator('[data-plane="axial"] path.l-left').count() == 1


def test_a_link_to_a_nodule_opens_there(opened, name):
    page = opened(f"scans/{name}/index.html#nodule=1")
    page.wait_for_selector('body[data-ready="yes"]')
    assert "Nodule 1" in page.text_content("#chosen")


def test_the_table_searches_sorts_and_is_filtered(opened):
    page = opened("index.html")
    names = page.locator("#scans tbody tr td:first-child")
    assert names.count() == 4
    page.click('.chips[data-column="state"] button[data-value="failed"]')
    assert names.count() == 1
    assert "LIDC-IDRI-0002" in names.text_content()
    page.click('.chips[data-column="state"] button[data-value="failed"]')
    assert names.count() == 4
    page.fill(".dt-search input", "alert(1)")
    assert names.count() == 1
    page.fill(".dt-search input", "")
    for order in ("ascending", "descending"):
        page.click('#scans th:has-text("Lungs, ml")')
        page.wait_for_selector(f'#scans th[aria-sort="{order}"]')
    assert "4,322" in page.locator("#scans tbody tr").first.text_content()
    page.locator("#scans a", has_text="LIDC-IDRI-0001").click()
    assert page.title().startswith("LIDC-IDRI-0001")


@pytest.mark.parametrize("scheme", [hard("light"), "dark"])
def test_text_stands_out_in_light_and_dark_and_nothing_is_wider_than_a_phone(
    opened, name, session, scheme
):
    hostile = page_names(session.all_sources)[HOSTILE]
    for path in ("index.html", f"scans/{name}/index.html", f"scans/{hostile}/index.html"):
        page = opened(path, width=360, scheme=scheme)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert page.evaluate(CONTRASTS) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path


@pytest.mark.hard
def test_light_and_dark_follow_the_system_until_the_button_is_pressed(opened):
    page = opened("index.html", scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 23, 26)"
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(251, 251, 250)"
    page.reload()
    assert page.evaluate(paper) == "rgb(251, 251, 250)"


@pytest.mark.hard
def test_every_control_has_a_name_and_shows_its_focus(opened, name):
    for path in ("index.html", f"scans/{name}/index.html"):
        page = opened(path)
        nameless = page.evaluate("""() => [...document.querySelectorAll("button, a, input, select")]
          .filter((one) => !one.getAttribute("aria-label") && !one.textContent.trim())
          .filter((one) => !one.labels?.length).map((one) => one.outerHTML)""")
        assert nameless == [], path
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        outline_px = page.evaluate(
            "parseFloat(getComputedStyle(document.activeElement).outlineWidth)"
        )
        assert outline_px >= 2


def test_in_print_everything_folded_is_open_and_buttons_are_gone(opened, name):
    page = opened(f"scans/{name}/index.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("#theme").is_visible()
    assert page.locator('[data-plane="axial"] canvas').is_visible()


@pytest.mark.hard
def test_the_volume_itself_is_shown_from_disk(opened, name, session, out):
    write_report(session, Wanted(out, viewer=True))
    page = opened(f"scans/{name}/viewer.html", width=640)
    page.wait_for_selector('body[data-ready="yes"]', timeout=60_000)
    assert page.text_content("#status") == ""
    assert page.locator("#volume canvas").bounding_box()["width"] > 300
    page.check('input[value="-160 240"]')
    page.select_option("#place", "1")
