"""The slides of a lesson, turned by keys to the last one."""

from __future__ import annotations

import re

from tools import lessons, slides

from .conftest import LESSON, new_page, shoot

TALLEST = 1.5  # windows: beyond it a slide is made smaller, down to 60%, and the rest scrolls


def test_slides_turn_by_keys_and_none_is_cut_off(chromium, tmp_path):
    page = new_page(chromium)
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(slides.export(lessons.NOTEBOOKS / LESSON, tmp_path).as_uri(), wait_until="domcontentloaded")
    page.wait_for_function("document.getElementById('place')?.textContent")
    count = page.locator("section").count()
    assert count > 15
    for number in range(1, count + 1):
        assert page.locator("#place").inner_text() == f"{number} / {count}"
        assert page.locator("section.shown").count() == 1
        height, width = page.evaluate(
            "[document.querySelector('section.shown').getBoundingClientRect().height / innerHeight,"
            " document.documentElement.scrollWidth / innerWidth]"
        )
        assert height < TALLEST and width <= 1, f"slide {number}"
        if page.locator("section.shown audio").count() == 3:
            shoot(page, "slide")
        if (bar := page.locator("section.shown [role=slider]").first).count():
            bar.focus()  # a player keeps its arrows; the keys of a clicker still turn the slide
        page.keyboard.press("PageDown" if bar.count() else "ArrowRight")
    assert page.locator("#place").inner_text() == f"{count} / {count}"  # and stays there
    page.keyboard.press("Home")
    assert page.locator("section.shown h1").inner_text().startswith("Explore sounds in a playground")
    page.close()
