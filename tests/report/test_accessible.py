"""The pages can be used without seeing them, and with the keyboard alone; and they print."""

import itertools
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from fr_inference.report import batch_page, page
from tests.report import demo

READABLE = {'ink', 'muted', 'member', 'leak', 'clear', 'open', 'invalid'}  # see test_style
CSS = resources.files('fr_inference').joinpath('report/style.css').read_text(encoding='utf-8')


class Elements(HTMLParser):
    """Collects (element, attributes, the elements that it is in)."""

    _EMPTY = ('img', 'meta', 'br', 'use', 'path', 'link', 'input')

    def __init__(self, text):
        super().__init__()
        self.found, self._inside = [], []
        self.feed(text)
        assert not self._inside

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), tuple(self._inside)))
        if tag not in self._EMPTY:
            self._inside.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs), tuple(self._inside)))

    def handle_endtag(self, tag):
        if tag not in self._EMPTY:
            assert self._inside.pop() == tag

    def all(self, tag):
        """Attributes of each element of a kind, beside those within drawings."""
        return [found for name, found, inside in self.found if name == tag and 'svg' not in inside]


@pytest.fixture(scope='module', params=[*demo.NAMES, 'batch'])
def text(request):
    if request.param == 'batch':
        entries = [
            batch_page.finished(name, name, demo.record_of(name), f'{name}/report.html')
            for name in demo.NAMES
        ]
        return batch_page.render(entries)
    return page.render(demo.audit_of(demo.record_of(request.param)))


@pytest.fixture(scope='module')
def elements(text):
    return Elements(text)


def test_every_picture_is_described(elements):
    drawn = elements.all('svg')
    assert drawn
    for found in drawn:
        assert found['role'] == 'img'
        assert re.search(r'\d', found['aria-label'])  # its figures, not only its name
        assert len(found['aria-label']) > 40
    assert all(found.get('alt') for found in elements.all('img'))


def test_the_verdict_is_one_key_away(text, elements):
    first = next(found for tag, found, _ in elements.found if tag in ('a', 'button', 'summary'))
    assert (first['class'], first['href']) == ('skip', '#verdict')
    targets = {found['id'] for _, found, _ in elements.found if 'id' in found}
    links = [found['href'] for found in elements.all('a') if found['href'].startswith('#')]
    assert {link[1:] for link in links} <= targets
    assert len(elements.all('main')) == 1
    assert text.index('<main>') < text.index('id="verdict"') < text.index('</main>')
    assert [found['lang'] for found in elements.all('html')] == ['en']


def test_what_can_be_opened_can_be_reached(elements):
    """Only elements that a browser puts in the order of the tab key react to anything."""
    for tag, found, inside in elements.found:
        assert not any(name.startswith('on') for name in found)
        assert int(found.get('tabindex', 0)) <= 0
        if 'data-tip' in found:
            assert (tag, bool(found['href'])) == ('a', True)
        if tag == 'summary':
            assert inside[-1] == 'details'
    for found in elements.all('div'):
        if 'wide' in found.get('class', '').split():
            assert (found['tabindex'], found['role'], bool(found['aria-label'])) == (
                '0',
                'region',
                True,
            )


def test_headings_leave_no_level_out(elements):
    levels = [int(tag[1]) for tag, *_ in elements.found if re.fullmatch('h[1-6]', tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_words_in_drawings_have_colours_that_can_be_read(text):
    for drawn in re.findall('<svg.*?</svg>', text, re.DOTALL):
        for words in re.findall('<text[^>]*>', drawn):
            tints = re.findall(r'fill: var\(--(\w+)\)', words)
            assert {*tints} <= READABLE


def test_what_is_focused_is_seen():
    (rule,) = re.findall(r'\n(:is\([^)]*\)):focus-visible \{ outline: 2px', CSS)
    assert {'a', 'summary', 'button', '.wide'} == {*re.findall(r'[.\w]+', rule.removeprefix(':is'))}
    assert 'outline: none' not in CSS
    assert 'outline: 0' not in CSS


def test_print_opens_what_is_closed_and_keeps_together():
    printed = CSS[CSS.index('@media print') :]
    assert 'details::details-content { content-visibility: visible; height: auto; }' in printed
    assert re.search(r'nav, \.skip, \.screen \{ display: none; \}', printed)
    for rule in ('break-after: avoid', 'break-inside: avoid', 'print-color-adjust: exact'):
        assert rule in printed
