"""Text can be read, light and dark."""

import re
from importlib import resources

import numpy as np
import pytest


def colours():
    """The colours of the page, light and dark."""
    css = resources.files('fr_inference').joinpath('report/style.css').read_text()
    light, dark = (
        dict(re.findall(r'--(\w+): (#[0-9a-f]{6});', block))
        for block in re.findall(r':root \{(.*?)\}', css, re.DOTALL)
    )
    return {'light': light, 'dark': {**light, **dark}}


def luminance(colour):
    """Relative luminance, WCAG 2."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize('mode', ['light', 'dark'])
def test_contrast(mode):
    """Of text, 4.5 to 1 on both grounds; of what is drawn, 3 to 1 (WCAG 2, 1.4.3 and 1.4.11)."""
    found = colours()[mode]
    texts = {'ink', 'muted', 'member', 'leak', 'clear', 'open', 'invalid'}
    for least, names in ((4.5, texts), (3.0, {'stranger', 'people', 'auxiliary'})):
        for name in names:
            for ground in ('paper', 'soft'):
                ends = sorted(luminance(found[key]) + 0.05 for key in (name, ground))
                assert ends[1] / ends[0] >= least, (name, ground)


@pytest.mark.parametrize('mode', ['light', 'dark'])
def test_contrast_of_words_on_colours_and_of_paler_words(mode):
    """Badges and tips have the paper's colour on a tone, captions a mixture of ink and paper."""
    found = colours()[mode]

    def ratio(one, other):
        low, high = sorted((one + 0.05, other + 0.05))
        return high / low

    paper = luminance(found['paper'])
    for ground in ('leak', 'clear', 'open', 'invalid', 'muted', 'ink'):
        assert ratio(paper, luminance(found[ground])) >= 4.5, ground
    css = resources.files('fr_inference').joinpath('report/style.css').read_text()
    (share,) = map(
        int, re.findall(r'color-mix\(in srgb, var\(--ink\) (\d+)%, var\(--paper\)\)', css)
    )
    channels = [
        round(
            (
                share * int(found['ink'][at : at + 2], 16)
                + (100 - share) * int(found['paper'][at : at + 2], 16)
            )
            / 100
        )
        for at in (1, 3, 5)
    ]
    mixed = '#' + ''.join(f'{channel:02x}' for channel in channels)
    for ground in ('paper', 'soft'):
        assert ratio(luminance(mixed), luminance(found[ground])) >= 4.5
