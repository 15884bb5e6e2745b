"""Every tab in a real Chromium: opened, used, linked to, by keyboard, on a phone, in the dark, on a slide."""

import re
import threading
import time

import pytest

from demo import sources, ui
from demo.answers import figures, trajectory
from demo.training import Trainer

pytestmark = pytest.mark.browser

# What stands in a tab once it shows its figures.
MARKS = {
    "story": "#story-steps .fact .fact:has-text('tokens, row by row')",
    "onestep": "#onestep-weights figure >> nth=2",
    "train": "#train-race .racers .cell >> nth=0",
    "mistakes": "#mistakes-race .racers .cell >> nth=0",
    "generate": "#generate-samples .cell >> nth=0",
    "compare": "#compare-wall-3 .cell >> nth=99",
    "rewards": "#rewards-group .cell >> nth=0",
    "complete": "#complete-samples .cell >> nth=0",
    "results": "#results-ladder tbody tr >> nth=3",
}
SHIFT = """new Promise((done) => { let total = 0; new PerformanceObserver((list) => { for (const entry of
list.getEntries()) if (!entry.hadRecentInput) total += entry.value; }).observe({ type: "layout-shift",
buffered: true }); setTimeout(() => done(total), 1500); })"""
# What reaches below the window, and controls below their strip; the smallest text on it, as it would be on a
# screen 1080 pixels high.
BELOW = """[...document.querySelectorAll('.tabitem .grpo, .tabitem .words')].filter((one) => one.offsetParent)
    .map((one) => [one.id || one.className, one.getBoundingClientRect().bottom])
    .filter(([, bottom]) => bottom > innerHeight + 1)"""
OUT = """[...document.querySelectorAll('.transport :is(input, button, label, .wrap-inner)')]
    .filter((one) => one.offsetParent && one.getBoundingClientRect().bottom
        > one.closest('.transport').getBoundingClientRect().bottom + 1).map((one) => one.outerHTML)"""
SMALLEST = """[...document.querySelectorAll('.tabitem *, #tabs button')]
    .filter((one) => one.offsetParent && !one.closest('svg, .keys, .katex, .cell, .transport')
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => [parseFloat(getComputedStyle(one).fontSize) * 1080 / innerHeight, one.innerText])
    .sort((a, b) => a[0] - b[0])[0]"""
# Text and pictures of which a part is hidden by the edge of a box around them.
CUT = """[...document.querySelectorAll('.tabitem *')].filter((one) => {
    const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!one.offsetParent || one.closest('svg, .katex')) return false;
    if (!says && !one.matches('canvas, img, .cell')) return false;
    if (one.matches('.caption')) return one.scrollWidth > one.clientWidth;
    const at = one.getBoundingClientRect();
    for (let box = one.parentElement; box !== document.body; box = box.parentElement) {
        const { position, overflowX, overflowY } = getComputedStyle(box);
        if (position === 'fixed') return false;
        const edge = box.getBoundingClientRect();
        if (overflowX !== 'visible' && (at.right > edge.right + 2 || at.left < edge.left - 2)) return true;
        if (overflowY !== 'visible' && (at.bottom > edge.bottom + 2 || at.top < edge.top - 2)) return true;
    }
}).map((one) => one.innerText || one.className).concat(
    [...document.querySelectorAll('.chart text')].filter((one) => {
        const at = one.getBoundingClientRect(), edge = one.closest('svg').getBoundingClientRect();
        return at.width && (at.left < edge.left - 2 || at.right > edge.right + 2);
    }).map((one) => one.textContent))"""
WITHOUT_DIGIT = ("train", "mistakes", "results")
# Laid out anew, and done with what Gradio moves from the old size to the new one.
SETTLED = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done,
    50)))).then(() => Promise.allSettled(document.getAnimations().filter((one) => one instanceof
    CSSTransition).map((one) => one.finished))).then(() => null)"""


def ready(page, tab):
    """Wait until a tab shows its figures."""
    page.locator(MARKS[tab]).wait_for()


def opened(visit, tab, link="", **media):
    """A tab by its link, which every tab is opened with once: it asks no other host, and nothing jumps."""
    page = visit(f"?tab={tab}&{link}", **media)
    ready(page, tab)
    assert page.wrong == []
    assert [url for url in page.asked if not url.startswith((page.at, "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert page.locator(f"#{tab}-button").get_attribute("aria-selected") == "true"
    assert page.evaluate(SHIFT) < 0.02
    return page


def key(tab):
    """The digit that opens a tab."""
    return str(list(ui.TABS).index(tab) + 1)


def says(page, selector, words, timeout=None):
    """Wait until a part of the page says something."""
    page.locator(selector).filter(has_text=words).first.wait_for(timeout=timeout)


def test_a_slide_does_not_scroll_and_nothing_is_out_of_reach_down_to_a_phone(visit):
    page, wrong = visit("?presenter=1", 1920, 1080), []
    for tab in MARKS:
        page.keyboard.press(key(tab))
        ready(page, tab)
        for width, height in ((1920, 1080), (1280, 720), (1024, 768)):
            page.set_viewport_size({"width": width, "height": height})
            page.mouse.wheel(0, 2000)
            page.evaluate(SETTLED)
            scrolled = page.evaluate("[scrollX, scrollY, document.documentElement.scrollWidth - innerWidth]")
            wrong += [(tab, width, found) for found in [scrolled] if found != [0, 0, 0]]
            wrong += [(tab, width, found) for script in (BELOW, CUT, OUT) for found in page.evaluate(script)]
            smallest = page.evaluate(SMALLEST) if width / height > 1.7 else [20]
            wrong += [(tab, width, found) for found in [smallest] if found[0] < 20]
        page.keyboard.press("p")
        for width, height in ((1440, 768), (1280, 720), (1110, 700), (768, 1024), (844, 390)):
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate(SETTLED)
            one_column = width <= 1100 or height <= 600
            for script in (CUT,) if one_column else (CUT, OUT, BELOW):
                wrong += [(tab, width, found) for found in page.evaluate(script)]
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            wrong += [(tab, width, wide)] * (wide > 0)
            # What stands in a column does not reach over what follows it.
            over = page.locator(f"#{tab} .policy").evaluate_all(
                "all => all.map((one) => one.scrollHeight - one.offsetHeight)"
            )
            wrong += [(tab, width, found) for found in over if found > 2]
        page.keyboard.press("p")
    assert wrong == []


def test_it_fits_a_phone_and_axe_finds_nothing_serious_in_the_dark(visit):
    from axe_playwright_python.sync_playwright import Axe

    page, wrong = visit("", 390, 844, color_scheme="dark"), []
    for tab in MARKS:
        page.keyboard.press(key(tab))
        ready(page, tab)
        wide = page.evaluate("document.documentElement.scrollWidth")
        keys = page.locator("#digit label").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().width)"
        )
        if wide > 390 or (tab not in WITHOUT_DIGIT and min(keys) < 40):
            wrong.append((tab, wide, keys))
        for found in Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]:
            if found["impact"] in ("serious", "critical"):
                wrong.append((tab, found["id"], [node["target"] for node in found["nodes"]][:4]))
    assert wrong == []


def test_the_story_moves_by_itself_and_turns_by_keys_buttons_and_links(visit):
    page = opened(visit, "story", reduced_motion="no-preference")
    page.wait_for_function("document.querySelector('#story-player .where').textContent > '3'")
    page.keyboard.press("ArrowRight")
    says(page, "#story-steps .fact", "of 16 are a 7")
    page.locator("#story-next").click()
    says(page, "#story-steps .fact", "The best of these sixteen is paid")
    page.wait_for_function("location.search.includes('step=3')")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    says(page, "#story-steps .fact", "The group's mean is")
    assert page.locator("#story-grid-3 .cell").count() == 16
    page.locator("#story-steps .step-button >> nth=0").click()
    page.wait_for_function("location.search.includes('step=1')")
    page.keyboard.press("ArrowRight")  # goes on from the step that was chosen by hand
    page.wait_for_function("location.search.includes('step=2')")


def test_one_step_takes_every_press_and_shows_the_numbers_of_what_is_clicked(visit):
    page = opened(visit, "onestep")
    assert page.locator("#onestep-samples .cell").count() == 16
    says(page, "#onestep-guess", "Which of these does the update push up most?")
    page.locator("#onestep-guess label").first.click()
    says(page, "#onestep-guess", "You guessed A. Update measures it.")
    page.locator("#onestep-samples .cell").nth(2).click()
    says(page, "#onestep-numbers", "Sample 3")
    page.keyboard.press("u")
    says(page, "#onestep-says", "Update 1: the better ones gained")
    says(page, "#onestep-guess", re.compile("You guessed A(, and so it is)?. Measured: [A-D] "))
    says(page, "#onestep-numbers", "Sample 3")  # before and after can be compared
    page.locator("#onestep-tokens .cell").nth(20).click()
    says(page, "#onestep-numbers", "Token 21")
    source = page.locator("#onestep-numbers .source").nth(5)
    file, line = source.inner_text().split(":")
    source.click()
    shown = page.locator("[popover]:popover-open mark").inner_text()
    assert shown == (sources.ROOT / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    page.keyboard.press("Escape")
    # Faster than updates are taken, and than the page shows how many there are.
    page.locator("#onestep-update").evaluate("button => [1, 2, 3, 4].forEach(() => button.click())")
    says(page, "#onestep-says", "Update 5:")
    assert "updates=5" in page.url
    page.locator("#onestep-draw").click()
    says(page, "#onestep-says", "After 5 updates,")
    text = page.locator("#onestep-says").inner_text()
    again = visit(page.url.removeprefix(page.at + "/"))
    says(again, "#onestep-says", text)
    again.locator("#digit label").nth(3).click()  # another digit begins anew
    says(again, "#onestep-says", "of 16 are a 3.")
    assert "After" not in again.locator("#onestep-says").inner_text()
    again.wait_for_function("!location.search.includes('updates=')")
    again.locator("#onestep-update").click()
    says(again, "#onestep-says", "Live.")


def test_questions_are_asked_before_an_answer_and_one_key_takes_them_away(visit):
    page = visit("?step=4")
    says(page, "#story-steps .fact", "The group's mean is")
    says(page, "#story-guess-4", "Which of A, B, C and D")
    page.locator("#story-guess-4 label").nth(1).click()
    says(page, "#story-guess-4", "You guessed B. Measured: ")
    page.keyboard.press("g")
    assert not page.locator("#story-guess-4").is_visible() and "guess=0" in page.url
    assert page.locator("#story-grid-3 .cell b").count() == 4  # A to D
    assert not page.locator("#story-grid-3 .cell b").first.is_visible()
    quiet = visit("?tab=onestep&guess=0&presenter=1")
    ready(quiet, "onestep")
    assert not quiet.locator("#onestep-guess").is_visible()
    quiet.keyboard.press("g")
    assert quiet.locator("#onestep-guess").is_visible()


def test_generate_draws_token_by_token_what_is_asked_for_and_the_link_brings_it_back(visit):
    noise = (
        "CanvasRenderingContext2D.prototype.getImageData = () => { throw Error('is noise in Tor Browser'); }"
    )
    page = opened(visit, "generate", reduced_motion="no-preference", script=noise)
    page.wait_for_function("Number(document.querySelector('#generate-player input').value) > 1")
    page.locator("#generate-player").get_by_role("button", name="One token on").click()
    page.locator("#generate-player input").fill("10")
    assert page.locator("#generate-player .where").inner_text() == "10 / 64"
    page.locator("#generate-player").get_by_role("button", name="One token back").click()
    assert page.locator("#generate-player .where").inner_text() == "9 / 64"
    page.locator("#generate-player canvas").hover(position={"x": 20, "y": 20})
    assert page.locator("#generate-player .detail").inner_text().startswith("Row 1, column 1: gray level ")
    page.keyboard.press("Escape")
    page.locator("#generate-player canvas").click(position={"x": 5, "y": 5})
    page.keyboard.press(" ")
    page.wait_for_function("Number(document.querySelector('#generate-player input').value) > 12")
    assert page.locator("#generate-beliefs .share.asked b").inner_text() == "7"
    page.locator("#digit label").nth(3).click()
    says(page, "#generate-summary", "draws 3")
    sheet = "getComputedStyle(document.querySelector('#generate-samples .grid')).getPropertyValue('--sheet')"
    first = page.evaluate(sheet)
    page.locator("#generate input[type=range][max='2']").press("ArrowRight")  # a slider moved by keys
    page.wait_for_function(f"{sheet} !== {first!r}")
    temperature = page.get_by_role("spinbutton", name="Temperature")
    temperature.fill("9")  # is its end, in the field and in what is drawn
    temperature.press("Tab")
    page.wait_for_function("location.search.includes('temperature=2')")
    assert temperature.input_value() == "2" and not page.locator("#notice").inner_text()
    temperature.fill("1")
    page.wait_for_function(f"{sheet} === {first!r}")
    page.locator("#generate").get_by_role("button", name="Draw new ones").click()
    page.wait_for_function("location.search.includes('seed=1')")
    page.wait_for_function(f"{sheet} !== {first!r}")
    seed = page.locator("#generate").get_by_label("Seed")
    seed.fill("20000000000000000000")  # more than JSON's readers take
    seed.press("Tab")
    says(page, "#notice", "Seed is 1000000000000000; allowed")
    seed.fill("1")
    seed.press("Tab")
    page.wait_for_function("!document.querySelector('#notice').innerText")
    page.locator("#generate-player input").fill("64")
    canvas = "document.querySelector('#generate-player canvas').toDataURL()"
    before = page.evaluate(canvas)
    page.locator("#generate-samples .cell").nth(5).click()
    page.wait_for_function("Number(document.querySelector('#generate-player input').value) < 64")
    page.locator("#generate-player input").fill("64")
    assert page.evaluate(canvas) != before
    assert page.locator("#generate-samples .cell").nth(5).get_attribute("aria-pressed") == "true"
    shown = page.evaluate(sheet)
    again = visit(page.url.removeprefix(page.at + "/"))
    says(again, "#generate-summary", "draws 3")
    again.wait_for_function(f"{sheet} === {shown!r}")


def test_a_late_answer_does_not_replace_a_newer_one(visit, monkeypatch):
    asked, go_on = threading.Event(), threading.Event()

    def held(*question):
        asked.set()
        assert go_on.wait(60)
        return trajectory(*question)

    monkeypatch.setattr("demo.answers.trajectory", held)
    page = visit("?tab=generate")
    ready(page, "generate")
    page.evaluate("document.addEventListener('grpo:step', (now) => { window.digit = now.detail.path.digit })")
    page.locator("#generate-samples .cell").nth(10).click()
    assert asked.wait(60)
    page.locator("#digit label").nth(3).click()
    page.wait_for_function("window.digit === 3")  # whose answer is recorded
    go_on.set()
    page.wait_for_timeout(1000)
    assert page.evaluate("window.digit") == 3


def test_what_was_chosen_in_one_tab_holds_in_the_next_and_back_goes_back(visit):
    page = visit("?tab=generate")
    ready(page, "generate")
    page.locator("#digit label").nth(3).click()
    says(page, "#generate-summary", "draws 3")
    page.locator("#complete-button").click()
    says(page, "#complete-summary", "as 3")
    page.keyboard.press(key("compare"))
    ready(page, "compare")
    assert "tab=compare" in page.url
    page.go_back()
    page.wait_for_function("document.querySelector('#complete-button').ariaSelected === 'true'")
    page.go_back()
    page.wait_for_function("document.querySelector('#generate-button').ariaSelected === 'true'")
    assert "tab=generate" in page.url


def test_on_a_phone_most_tabs_are_in_a_menu_back_goes_back_and_what_is_asked_for_comes_into_view(visit):
    page = visit("", 390, 844)
    for name in ("Compare", "Rewards"):
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown button").filter(has_text=name).click()
        ready(page, name.lower())
    page.go_back()
    ready(page, "compare")
    again = page.locator("#compare button").filter(has_text="Draw new ones")
    again.scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 400
    again.click()
    page.wait_for_function("scrollY === 0")


def test_a_link_is_of_the_tab_that_it_names(visit):
    page = opened(visit, "results", "task=refine")
    says(page, "#results-ladder", "Start: knows its labels")
    page.get_by_label("What is compared").click()
    page.get_by_role("option", name="mistakes: beside the same done right").click()
    page.wait_for_function("location.search.includes('task=mistakes')")
    page.locator("#rewards-button").click()
    ready(page, "rewards")
    page.wait_for_function("!location.search.includes('task=')")  # it shows the usual one
    says(visit("?tab=compare&seed=3&task=refine"), "#compare .title", "Start: knows its labels")


def test_where_a_browser_refuses_another_address_the_tab_is_shown_and_the_address_follows(visit):
    script = """for (const name of ["pushState", "replaceState"]) {
        const usual = history[name].bind(history);
        history[name] = (...all) => { if (window.refused) throw Error("too often"); else usual(...all); };
    }"""
    page = visit("?tab=story", script=script)
    ready(page, "story")
    page.evaluate("window.refused = true")
    page.locator("#compare-button").click()
    ready(page, "compare")
    assert "tab=story" in page.url and page.wrong == []
    page.evaluate("window.refused = false")
    page.wait_for_function("location.search.includes('tab=compare')")
    page.go_back()
    says(page, "#story-button.selected", "Story")


def test_a_bad_link_is_named_and_left_out(visit):
    page = visit("?tab=compare&digit=99&seed=abc&other=steer/ppo&temperature=NaN&task=mistakes")
    ready(page, "compare")
    words = page.locator(".toast-body").inner_text()
    assert "digit is '99'; allowed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in words
    assert "task is 'mistakes'; allowed: steer, refine." in words  # which another tab allows
    assert all(f"{name} is" in words for name in ("seed", "other", "temperature"))
    assert page.locator("#digit label.selected").inner_text() == "7"


def test_compare_marks_failures_and_twins_and_says_who_is_better(visit):
    page = opened(visit, "compare", "other=refine/grpo")
    page.locator("#compare-wall-4 .cell >> nth=99").wait_for()
    titles = page.locator("#compare .title span").all_inner_texts()
    assert titles == ["Random: untrained", "Start: knows no labels", "REINFORCE", "GRPO", "Refine: GRPO"]
    assert page.evaluate(CUT) == []
    page.keyboard.press("p")
    assert page.evaluate(CUT) == [], "on a slide, five are side by side as well"
    page.keyboard.press("p")
    assert (
        page.locator("#compare-wall-1 .cell.wrong").count()
        > 60
        > page.locator("#compare-wall-3 .cell.wrong").count()
    )
    assert (
        page.locator("#compare-wall-2 .cell.twin").count()
        > page.locator("#compare-wall-3 .cell.twin").count()
    )
    assert len(page.locator("#compare-verdict").inner_text()) > 40
    page.locator("#digit label").nth(5).click()
    page.wait_for_function("document.querySelector('#compare-wall-3 .cell').title.includes('reads 5')")


def test_a_drawing_is_scored_and_nothing_is_said_to_be_nothing(visit):
    page = opened(visit, "rewards")
    says(page, "#rewards-says", "is the reward for a 7. The judge reads 7.")
    page.locator("#rewards-pad button").click()
    says(page, "#rewards-says", "Nothing is drawn yet")
    page.locator("#rewards-pad canvas").focus()
    page.keyboard.press("Space")  # puts ink, where it would otherwise play
    says(page, "#rewards-says", "is the reward for a 7")
    page.locator("#rewards-pad button").click()
    says(page, "#rewards-says", "Nothing is drawn yet")
    box = page.locator("#rewards-pad canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8, steps=8)
    page.mouse.up()
    says(page, "#rewards-says", "The judge reads 1")
    page.locator("#digit label").nth(1).click()
    says(page, "#rewards-says", "is the reward for a 1")
    page.locator("#rewards").get_by_label("What is graded").click()
    page.get_by_role("option", name="an empty sheet").click()
    page.wait_for_function("getComputedStyle(document.querySelector('#rewards-pad')).opacity === '0.25'")
    says(page, "#rewards-says", re.compile("is paid for a 1, and it is no 1|is the reward for a 1"))


def test_the_line_on_the_pad_stands_where_the_policy_begins(visit):
    line = """(() => { const canvas = document.querySelector('#complete-pad canvas');
      const column = canvas.getContext('2d').getImageData(5, 0, 1, canvas.height).data;
      const yellow = (y) => column[4 * y] > 200 && column[4 * y + 2] < 100;
      return [...Array(canvas.height).keys()].findIndex(yellow) / canvas.height })()"""
    page = opened(visit, "complete", "rows=6")
    page.wait_for_function(f"Math.abs({line} - 6 / 8) < 0.01")
    page.locator("#recipe label").nth(1).click()
    page.wait_for_function(f"Math.abs({line} - 6 / 7) < 0.01")
    assert page.locator("#complete input[type=range][max='7']").count() == 1  # rows, at 28x28


def test_at_28x28_codes_are_seen_as_pictures_and_a_policy_of_the_other_recipe_is_out_of_the_list(visit):
    page = visit("?tab=generate")
    ready(page, "generate")
    page.locator("#recipe label").nth(1).click()
    page.locator("#generate-player .where").filter(has_text="/ 49").wait_for()
    look = "getComputedStyle(document.querySelector('#generate-next .bar s')).backgroundImage"
    page.wait_for_function(f"{look}.startsWith('url(\"data:image/png')")
    assert "recipe=patches-28x28" in page.url
    # Who can race is another question there.
    page.locator("#train-button").click()
    says(page, "#train-race .racers", "GRPO")
    page.locator("#train-who input").click()
    offered = page.locator("#train-who").get_by_role("option").all_inner_texts()
    assert len(offered) == 4 and not any("no KL" in one for one in offered)
    # Its ladder holds the longest numbers.
    page.keyboard.press("Escape")
    page.locator("#results-button").click()
    says(page, "#results-ladder", re.compile(r"\d\.\dk"))
    page.locator("#present").click()
    for width, height in ((1920, 1080), (1280, 720)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(SETTLED)
        assert page.evaluate(CUT) == [], "the ladder fits a slide"


def test_space_plays_after_a_click_and_keys_are_the_controls_that_they_went_to(visit):
    page = visit()
    ready(page, "story")
    plays = "document.querySelector('#story-player .player').player.playing"
    page.locator("#present").click()
    for playing in ("true", "false"):
        page.keyboard.press(" ")
        page.wait_for_function(f"{plays} === {playing}")
    assert page.evaluate("document.documentElement.classList.contains('presenter')")  # it was not pressed
    page.keyboard.press("p")
    tokens = page.locator("#story-player input")
    tokens.fill("9")
    page.keyboard.press("Tab")
    tokens.focus()
    page.keyboard.press("ArrowLeft")
    assert tokens.input_value() == "8" and "step=" not in page.evaluate("location.search")
    # The list of keys takes them all.
    page.keyboard.press("?")
    page.keyboard.press("3")
    page.keyboard.press("?")
    page.locator("dialog.help").wait_for(state="detached")
    assert page.locator("#story-button").get_attribute("aria-selected") == "true"
    page.locator("#train-button").click()
    ready(page, "train")
    says(page, "#train-race .where", "step 150 of 150")
    page.keyboard.press(" ")
    page.locator("#train-race .where").filter(has_not_text="step 150").wait_for()
    page.locator("#train-digits label").nth(3).click()
    page.locator("#train-who .token-remove").first.click()
    page.wait_for_function("location.search.includes('runs=grpo')")
    again = visit(page.evaluate("location.search"))
    says(again, "#train-race h3", "GRPO")
    again.wait_for_function("document.querySelectorAll('#train-race h3').length === 1")
    assert again.locator("#train-digits label.selected").count() == 9


def test_keys_turn_tabs_and_presenter_mode_and_show_themselves(visit):
    page = visit()
    ready(page, "story")
    for close in ("Escape", "?"):
        page.keyboard.press("?")
        assert "presenter mode" in page.locator("dialog.help").inner_text()
        page.keyboard.press(close)
        page.locator("dialog.help").wait_for(state="detached")
    page.keyboard.press(key("results"))
    ready(page, "results")
    page.keyboard.press("p")
    assert (
        page.evaluate("document.documentElement.className").count("presenter") == 1
        and "presenter=1" in page.url
    )
    page.keyboard.press(key("generate"))
    ready(page, "generate")
    page.keyboard.press("p")
    assert "presenter" not in page.evaluate("location.search")  # ``page.url`` may be late
    page.go_back()
    page.wait_for_function("document.documentElement.classList.contains('presenter')")
    assert "tab=results" in page.url and "presenter=1" in page.url


def test_train_live_shows_both_at_the_same_samples_pauses_stops_and_its_policy_can_be_used(visit):
    page = opened(visit, "train")
    says(page, "#train-race .status", "Recorded")
    page.locator("#train-race input").fill("60")  # of which no samples are recorded
    says(page, "#train-race .numbers", "samples of step 41")
    for _ in range(2):
        page.locator("#train-who .token-remove").first.click()
    says(page, "#notice", "Who races is empty; allowed: one to three of reinforce,")
    assert "runs=" not in page.url  # the link would be refused
    page.locator("#compare-button").click()
    page.locator("#train-button").click()
    page.locator("#train-who .token").nth(1).wait_for()  # the usual two
    page.locator("#train-who .token-remove").first.click()  # and last again: the order is the visitor's
    page.locator("#train-who input").click()
    page.get_by_role("option", name="REINFORCE", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_text("More settings").click()
    page.get_by_label("Samples per digit").fill("200")
    page.locator("#train-start").click()
    says(page, "#notice", "Samples per digit is 200; allowed: a whole number from 2 to 128.")
    page.get_by_label("Samples per digit").fill("8")
    page.get_by_label("Steps", exact=True).fill("300")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 300, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", slow)
    page.locator("#train-start").dblclick()  # is one race
    says(
        page, "#train-race .status", re.compile(r"Live, on this machine, at 8×8 pixels. Step [1-9]\d* of 300")
    )
    network.send("Network.emulateNetworkConditions", {**slow, "latency": 0})
    assert page.locator("#train-race .racers .cell").count() == 160
    numbers = page.locator("#train-race .numbers").first
    assert numbers.inner_text().splitlines()[-1].endswith("near-twins")
    assert numbers.bounding_box()["height"] < 100  # the figures beside the share, not under it
    assert page.locator("#train-race .status").get_attribute("aria-live") == "off"  # not read at each step
    page.locator("#train").get_by_role("button", name="Pause").click()
    says(page, "#train-race .status", "Paused")
    page.locator("#train-race input").fill("0")
    assert page.locator("#train-race input").get_attribute("aria-valuetext").startswith("step 1 of")
    assert page.locator("#train-race .where").inner_text().startswith("step 1 of")
    page.locator("#train").get_by_role("button", name="Resume").click()
    says(page, "#train-race .status", "Live")
    says(page, "#train-race .where", re.compile(r"step ([5-9]|\d\d)"))  # what goes on is followed again
    # A replay runs on by itself: what is new meanwhile does not come in between.
    page.evaluate("""() => { window.steps = []; new MutationObserver(() => window.steps.push(parseInt(
        document.querySelector('#train-race .where').textContent.slice(5)))).observe(
        document.querySelector('#train-race .where'), { childList: true }); }""")
    page.locator("#train-race .keys button").click()
    since = "window.steps.slice(window.steps.indexOf(1))"
    page.wait_for_function(f"window.steps.includes(1) && {since}.length >= 4")
    assert page.evaluate(since)[:4] == [1, 2, 3, 4]
    page.locator("#train-stop").click()
    says(page, "#train-race .status", "Stopped by you")
    page.locator("#train-download").wait_for()
    page.wait_for_timeout(1500)
    says(page, "#train-race .status", "Stopped by you")  # though there is one policy more to choose from
    assert page.locator("#train-race h3").all_inner_texts() == ["GRPO", "REINFORCE"]
    page.locator("#generate-button").click()
    ready(page, "generate")
    page.locator("#generate").get_by_label("Policy").click()
    page.get_by_role("option", name="Yours (1): REINFORCE on all digits").click()
    says(page, "#generate-summary", "Yours")
    page.locator("#train-button").click()
    says(page, "#train-race .status", "Stopped by you")  # the result is not replaced by the recording
    page.reload()
    ready(page, "train")
    page.locator("#generate-button").click()
    ready(page, "generate")
    page.locator("#generate").get_by_label("Policy").click()
    page.get_by_role("option", name="Yours (1): REINFORCE on all digits").click()
    says(page, "#generate-summary", "Yours")


def test_a_training_is_shown_where_a_browser_refuses_storage_to_a_frame(visit, unhurried):
    refused = "get() { throw new DOMException('refused', 'SecurityError'); }"
    script = f"Object.defineProperty(window, 'sessionStorage', {{ {refused} }})"
    page = visit("?tab=train&digits=7", script=script)
    small_race(page)
    page.locator("#train-start").click()
    says(page, "#train-race .status", re.compile("Step [1-9]"))
    page.locator("#train-stop").click()
    says(page, "#train-race .status", "Stopped by you")
    assert page.wrong == []


def test_a_reward_of_ones_own_is_mixed_trained_on_and_linked(visit):
    page = visit("?tab=train&symmetry=0.5")
    ready(page, "train")
    page.get_by_text("More settings").click()
    page.get_by_label("Samples per digit").fill("4")
    says(page, "#train-race .status", "Train takes yours: confidence + 0.5 × symmetry.")
    page.locator("#train-reward .label-wrap").click()
    page.locator("#train-example").click()
    says(page, "#train-race .status", "Recorded: a race with a different reward from the usual one")
    page.get_by_role("spinbutton", name="symmetry").fill("0.5")
    thin = page.get_by_role("spinbutton", name="little ink")
    for weight in ("0.5", "0.75"):  # Gradio may miss what is typed while it opens
        thin.fill(weight)
    thin.press("Enter")
    page.wait_for_function("location.search.includes('little_ink=0.75')")
    says(page, "#train-race .status", "Train takes yours: confidence + 0.5 × symmetry + 0.75 × little ink.")
    assert "symmetry=0.5" in page.url and "confidence" not in page.url  # the rest is as usual
    page.locator("#train-start").click()
    says(page, "#train-race .status", re.compile(r"Step [1-9]\d* .* symmetry \+ 0.75 × little ink"))
    page.locator("#train-stop").click()
    says(page, "#train-race .status", "Stopped by you")
    choice = page.get_by_label("What the second chart shows")
    names = ["little ink", "symmetry", "confidence", "KL: nats moved from its start"]
    assert choice.locator("option").all_inner_texts() == names
    title = page.locator("#train-race .chart >> nth=1").locator("text.axis >> nth=1")
    for name in names:
        choice.select_option(label=name)
        assert title.text_content() == name
    page.locator("#train-example").click()
    page.wait_for_function("scrollY === 0")
    says(page, "#train-race .status", "Recorded: a race with a different reward from the usual one")
    page.wait_for_function("/symmetry=1(?!.*little_ink)/.test(location.search)")
    for name in ("confidence", "symmetry"):
        page.get_by_role("spinbutton", name=name).fill("0")
    says(page, "#notice", "no reward is paid")


def test_a_mistake_is_shown_at_once_linked_and_trained_beside_the_same_done_right(visit):
    page = opened(visit, "mistakes", "mistake=first-token")
    says(page, "#mistakes-race .racers h3", "Mistake: first token left out")
    says(page, "#mistakes-about", "never learned")
    page.get_by_label("The mistake").click()
    page.get_by_role("option", name="Divided by the deviation").click()
    says(page, "#mistakes-about", "arXiv 2503.20783")
    page.wait_for_function("location.search.includes('mistake=scaled')")
    says(page, "#mistakes-race .racers h3", "Mistake: divided by the deviation")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    says(page, "#mistakes-race .status", "at 8×8 pixels. Step 2")
    page.locator("#mistakes").get_by_role("button", name="Pause").click()  # else it might be over too soon
    says(page, "#mistakes-race .status", "Paused at step")
    assert page.locator("#mistakes-which input").is_disabled()
    says(page, "#mistakes-race .racers h3", "Done right")
    assert "near-twins" in page.locator("#mistakes-race .numbers >> nth=0").inner_text()
    page.locator("#train-button").click()  # which shows its own race, and not this one
    ready(page, "train")
    says(page, "#train-race .status", "Recorded")
    page.locator("#mistakes-button").click()
    page.locator("#mistakes-stop").click()
    says(page, "#mistakes-race .status", "Stopped by you")
    page.locator("#results-button").click()
    page.get_by_label("What is compared").click()
    page.get_by_role("option", name="mistakes: beside the same done right").click()
    says(page, "#results-says", re.compile("mistakes do harm here|No mistake is measured yet"))
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.evaluate(SETTLED)
    assert page.evaluate(CUT) == [], "the table fits a slide"


# What the page does every ten seconds, it does every four.
HURRY = """
const { Blob } = window;
window.Blob = function (parts, about) {
  return new Blob(parts.map((part) => part.replace?.("10000", "4000") ?? part), about);
};
"""


@pytest.fixture
def unhurried(monkeypatch):
    """A race takes two steps a second at most, and leaves the processor to the page."""

    def slowed(*step):
        time.sleep(0.5)
        return figures(*step)

    monkeypatch.setattr("demo.training.figures", slowed)


def small_race(page):
    """Ask for a race of few samples and many steps."""
    ready(page, "train")
    page.get_by_text("More settings").click()
    page.get_by_label("Samples per digit").fill("4")
    page.get_by_label("Steps", exact=True).fill("300")


def test_a_lost_or_hidden_page_loses_nothing_and_a_closed_one_frees_the_processor(
    visit, proxy, monkeypatch, unhurried
):
    asked, trainers, follow = [], set(), Trainer.follow

    def heard(trainer, key, *rest):
        asked.append(key)
        trainers.add(trainer)
        return follow(trainer, key, *rest)

    monkeypatch.setattr(Trainer, "follow", heard)
    page = visit("?tab=train&digits=7", at=f"http://127.0.0.1:{proxy.port}", script=HURRY)
    second = visit("?tab=train&digits=7", script=HURRY)
    for one in (page, second):
        small_race(one)
    page.locator("#train-start").click()
    says(page, "#train-race .status", re.compile("Step [2-9]"))
    second.locator("#train-start").click()
    says(second, "#train-race .status", "number 1 in the line")
    assert second.locator("#train").get_by_role("button", name="Pause").is_disabled()
    page.evaluate("window.before = true")
    hide = "for (const [name, value] of [['hidden', {0}], ['visibilityState', {1}]])"
    hide += " Object.defineProperty(document, name, {{ value, configurable: true }})"
    second.evaluate(hide.format("true", "'hidden'"))
    second.wait_for_timeout(500)
    newest = "Number(document.querySelector('#train-race input')?.max)"
    had = page.evaluate(newest)
    assert had >= 1  # the number of its newest step: it has taken two, or more on a faster machine
    proxy.cut(True)
    asked.clear()
    page.wait_for_timeout(10_000)
    assert asked  # by the hidden page
    proxy.cut(False)
    second.evaluate(hide.format("false", "'visible'"))
    says(second, "#train-race .status", "Live")  # the page that was away gave it its turn
    # Gradio loads the page anew, and the race goes on where it was.
    page.wait_for_function(f"!window.before && {newest} >= {had}")
    says(page, "#train-race .status", "Waiting for its turn: number 1 in the line.")
    second.locator("#train-stop").click()
    says(page, "#train-race .status", "Live")
    says(page, "#train-race .where", "step ")
    second.locator("#train-start").click()
    says(second, "#train-race .status", "number 1 in the line")
    page.close(run_before_unload=True)
    says(second, "#train-race .status", "Live", 15_000)
    second.locator("#train-stop").click()
    says(second, "#train-race .status", "Stopped by you")
    trainers.pop().close()  # else that of the page that was closed waits for it


def test_an_answer_that_is_lost_on_its_way_does_not_end_a_race(visit, unhurried):
    page = visit("?tab=train&digits=7", script=HURRY)
    small_race(page)
    page.locator("#train-start").click()
    says(page, "#train-race .status", re.compile("Step [2-9]"))
    page.evaluate("window.before = true")
    lost = []  # Gradio waits for it, and asks nothing more
    page.route("**/queue/data*", lambda route: route.continue_() if lost else lost.append(route))
    page.wait_for_function("!window.before && Number(document.querySelector('#train-race input')?.max) >= 2")
    says(page, "#train-race .status", "Live")
    page.locator("#train-stop").click()
    says(page, "#train-race .status", "Stopped by you")
