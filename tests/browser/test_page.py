"""Every tab in a real Chromium: opened, used, linked to, by keyboard, on a phone, in the dark."""

import re

import pytest

pytestmark = pytest.mark.browser

TABS = ("story", "train", "generate", "compare", "rewards", "complete")
SHIFT = """new Promise((done) => { let total = 0; new PerformanceObserver((list) => { for (const entry of
list.getEntries()) if (!entry.hadRecentInput) total += entry.value; }).observe({ type: "layout-shift",
buffered: true }); setTimeout(() => done(total), 1500); })"""


def ready(page, tab):
    """Wait until a tab shows its figures."""
    marks = {
        "story": ".story .title:has-text('A picture')",
        "train": ".train .samples.live .sample >> nth=0",
        "generate": ".generate .sample >> nth=0",
        "compare": ".compare .figure b >> nth=3",
        "rewards": ".rewards .group .sample >> nth=0",
        "complete": ".complete .sample >> nth=0",
    }
    page.locator(marks[tab]).wait_for(timeout=60_000)


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_shows_something_true_at_once(visit, address, tab):
    page = visit(f"?tab={tab}")
    ready(page, tab)
    assert page.wrong == []
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1920


def test_the_story_moves_by_itself_and_turns_by_keys(visit):
    page = visit()
    ready(page, "story")
    page.wait_for_function("document.querySelector('.story .scrub').value > 3")
    page.keyboard.press("ArrowRight")
    assert page.locator(".story .step").inner_text() == "Beat 2 of 6"
    page.locator(".story .next").click()
    page.locator(".story .dots button").nth(5).click()
    assert "Price:" in page.locator(".story .fact").inner_text()
    assert "beat=6" in page.url
    page.keyboard.press("ArrowLeft")
    assert page.locator(".story .samples .sample").count() == 16


def test_generate_draws_what_is_asked_for_and_the_link_brings_it_back(visit, address):
    page = visit("?tab=generate")
    ready(page, "generate")
    page.locator(".generate .choices input").nth(3).check()
    page.locator(".generate .summary").filter(has_text="as 3").wait_for()
    page.locator(".generate .policy").select_option("random")
    page.locator(".generate .summary").filter(has_text="Random").wait_for()
    first = page.locator(".generate .summary").inner_text()
    page.locator(".generate .primary").click()
    page.wait_for_function(
        "text => document.querySelector('.generate .summary').textContent !== text", arg=first
    )
    assert "seed=1" in page.url
    page.locator(".generate .samples .sample").nth(5).click()
    page.locator(".generate .detail").filter(has_text=re.compile("Row|Sample")).wait_for()
    before = page.locator(".generate .summary").inner_text()
    again = visit(page.url.removeprefix(address + "/"))
    again.locator(".generate .summary").filter(has_text="Random").wait_for(timeout=60_000)
    assert again.locator(".generate .summary").inner_text() == before


def test_what_was_chosen_in_one_tab_holds_in_the_next(visit):
    page = visit("?tab=generate")
    ready(page, "generate")
    page.locator(".generate .choices input").nth(3).check()
    page.locator(".generate .summary").filter(has_text="as 3").wait_for()
    page.get_by_role("tab", name="Complete").click()
    page.locator(".complete .summary").filter(has_text="as 3").wait_for(timeout=20_000)
    assert page.locator(".complete .choices input").nth(3).is_checked()


def test_a_bad_link_is_named_and_left_out(visit):
    page = visit("?tab=generate&digit=99&seed=abc&policy=steer/ppo&temperature=NaN")
    ready(page, "generate")
    words = page.locator(".generate .message").inner_text()
    assert 'digit is "99"; allowed: 0 to 9' in words
    assert all(f"{name} is" in words for name in ("seed", "policy", "temperature"))
    assert page.locator(".generate .choices input").nth(7).is_checked()


def test_the_player_is_paused_stepped_and_scrubbed_by_mouse_and_keyboard(visit):
    page = visit("?tab=generate")
    ready(page, "generate")
    page.locator(".generate .play").filter(has_text="Pause").click()
    page.locator(".generate .scrub").fill("10")
    assert page.locator(".generate .where").inner_text() == "10 / 64"
    page.locator(".generate .player").focus()
    for key, place in (
        ("ArrowRight", 11),
        ("ArrowDown", 16),
        ("ArrowUp", 8),
        ("ArrowLeft", 7),
        ("End", 64),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert page.locator(".generate .where").inner_text() == f"{place} / 64"
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('.generate .scrub').value > 1")
    page.locator(".generate .picture").hover(position={"x": 20, "y": 20})
    page.wait_for_function(
        "document.querySelector('.generate .scrub').value > 9"
    )  # goes on playing, and the text stays
    assert page.locator(".generate .detail").inner_text().startswith("Row 1, column 1: level ")


def test_compare_marks_what_the_judge_rejects_and_measures_live(visit):
    page = visit("?tab=compare&digit=4")
    ready(page, "compare")
    page.wait_for_function("[...document.querySelectorAll('.compare .figure b')].length === 4")
    page.wait_for_function("document.querySelectorAll('.compare .column')[3].textContent.includes('nats')")
    titles = page.locator(".compare .column h2").all_inner_texts()
    assert titles[0].startswith("Random") and titles[3].startswith("Steer") and titles[3].endswith("GRPO")
    assert page.locator(".compare .column >> nth=1 >> .wrong").count() > 0
    shares = [float(text.split()[0]) for text in page.locator(".compare .figure b").all_inner_texts()]
    assert shares[3] > shares[1] + 40
    # Asked for another digit, a map is shown only where that digit has been measured.
    page.locator(".compare .choices label").nth(5).click()
    columns = """() => {
        const seen = [...document.querySelectorAll('.compare .column')].map((column) => [
            column.querySelector('.figure b') !== null,
            getComputedStyle(column.querySelector('.map')).visibility === 'visible',
        ]);
        return seen.some(([measured]) => !measured) && seen;
    }"""
    assert all(measured == shown for measured, shown in page.wait_for_function(columns).json_value())
    page.wait_for_function("document.querySelectorAll('.compare .map:not(.pending)').length === 4")


def test_a_drawing_is_scored_completed_and_the_classifier_fooled(visit):
    page = visit("?tab=rewards")
    ready(page, "rewards")
    page.locator(".rewards .clear").click()
    page.locator(".rewards .verdict").filter(has_text="Reward for a 7").wait_for()
    box = page.locator(".rewards .pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8, steps=8)
    page.mouse.up()
    page.locator(".rewards .verdict").filter(has_text="The judge reads 1").wait_for()
    page.locator(".rewards .fool").click()
    page.locator(".rewards .verdict").filter(has_text=re.compile("Fooled|Not this time")).wait_for()
    page.get_by_role("tab", name="Complete").click()
    ready(page, "complete")
    before = page.locator(".complete .summary").inner_text()
    page.locator(".complete .rows").fill("0")
    page.locator(".complete .summary").filter(has_text="from 0 rows").wait_for()
    assert page.locator(".complete .summary").inner_text() != before


def test_train_live_learns_stops_and_goes_on_when_the_tab_is_closed_and_opened(visit):
    page = visit("?tab=train")
    ready(page, "train")
    assert "Recorded earlier" in page.locator(".train .status").inner_text()
    page.locator(".train .start").click()
    page.locator(".train .status").filter(has_text=re.compile(r"training.* Step [3-9]")).wait_for(
        timeout=60_000
    )
    assert page.locator(".train .by-kl path.curve").count() >= 2
    page.locator(".train .stop").click()
    page.locator(".train .status").filter(has_text="stopped").wait_for(timeout=20_000)
    page.locator(".train .use").click()
    page.locator(".generate .summary").filter(has_text="Yours").wait_for(timeout=20_000)
    page.get_by_role("tab", name="Train live").click()
    page.locator(".train .start").click()
    page.locator(".train .status").filter(has_text="training").wait_for(timeout=20_000)
    page.close()  # mid-run: the next visitor need not wait for it
    other = visit("?tab=train")
    ready(other, "train")
    other.locator(".train .start").click()
    other.locator(".train .status").filter(has_text="training").wait_for(timeout=20_000)
    other.locator(".train .stop").click()
    other.locator(".train .status").filter(has_text="stopped").wait_for(timeout=20_000)


EARLY = """window.early = []; const watch = () => {
  const main = document.querySelector("main.contain");
  const there = [".head .recipes", ".generate .choices"].every((part) => document.querySelector(`.grpo${part}
  label`)); if (main && getComputedStyle(main).visibility === "visible" && !there)
  window.early.push(main.innerText.slice(0, 40)); requestAnimationFrame(watch); };
  requestAnimationFrame(watch);"""


def test_nothing_is_shown_before_the_head_and_the_linked_tab_are_there(visit):
    page = visit("?tab=generate", script=EARLY)
    ready(page, "generate")
    assert page.evaluate("window.early") == []


@pytest.mark.parametrize("tab", TABS)
def test_nothing_jumps(visit, tab):
    page = visit(f"?tab={tab}&presenter=0")
    ready(page, tab)
    assert page.evaluate(SHIFT) < 0.02


@pytest.mark.parametrize("tab", TABS)
def test_it_fits_a_phone_and_axe_finds_nothing_serious(visit, tab):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"?tab={tab}", 390, 844, color_scheme="dark")
    ready(page, tab)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:4]) for one in serious] == []


@pytest.mark.parametrize("tab", TABS)
def test_presenter_mode_fills_the_screen_hides_prose_and_keeps_still(visit, tab):
    page = visit(f"?tab={tab}&presenter=1")
    page.locator(f".grpo.{tab}").wait_for(timeout=60_000)
    page.wait_for_timeout(1000)
    assert page.locator(".words:visible").count() == 0
    assert (
        float(
            page.locator(f".grpo.{tab}")
            .evaluate("node => getComputedStyle(node).fontSize")
            .removesuffix("px")
        )
        >= 20
    )
    first = page.screenshot()
    page.wait_for_timeout(400)
    assert page.screenshot() == first  # nothing moves but what the presenter moves
    page.keyboard.press("p")
    assert page.locator("body.presenter").count() == 0


def test_settings_fit_the_recipe_whatever_digit_the_link_names(visit):
    page = visit("?tab=train&recipe=patches-28x28&digit=3")
    ready(page, "train")
    fields = {name: page.locator(f".train [data-name={name}]") for name in ("lr", "group", "steps")}
    one = {name: float(field.input_value()) for name, field in fields.items()}
    assert (one["lr"], one["group"]) == (0.0004, 64)
    page.locator(".train .preset").select_option("all")
    samples = [float(fields[name].input_value()) for name in ("group", "steps")]
    assert 10 * samples[0] * samples[1] < 3 * one["group"] * one["steps"]  # else the run would be cut off
    assert page.wrong == []


def test_reduced_motion_is_respected(visit):
    page = visit("?tab=generate", reduced_motion="reduce")
    ready(page, "generate")
    page.wait_for_timeout(500)
    assert page.locator(".generate .where").inner_text() == "64 / 64"


def test_the_keyboard_alone_is_enough(visit):
    page = visit()
    ready(page, "story")
    page.get_by_role("tab", name="Story").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    ready(page, "generate")
    page.locator(".generate .choices input").nth(7).focus()
    page.keyboard.press("ArrowRight")
    page.locator(".generate .summary").filter(has_text="as 8").wait_for()


def test_the_switch_goes_from_pixels_to_patches_and_the_link_keeps_it(visit):
    page = visit("?tab=generate")
    ready(page, "generate")
    page.locator(".recipes input").nth(1).check()
    page.locator(".generate .where").filter(has_text="/ 49").wait_for(timeout=60_000)
    assert "recipe=patches-28x28" in page.url
    page.get_by_role("tab", name="Complete").click()
    page.locator(".complete .shown-rows").filter(has_text="of 7").wait_for()
    page.get_by_role("tab", name="Story").click()
    page.locator(".story .text").filter(has_text="7 \u00d7 7 patches").wait_for()
    page.get_by_role("tab", name="Train live").click()
    page.locator(".train .samples.live .sample").first.wait_for()
    again = visit("?tab=rewards&recipe=patches-28x28")
    ready(again, "rewards")
    again.wait_for_function("document.querySelector('.rewards .seen').width === 28")
    assert page.wrong == again.wrong == []
