"""SVG that takes its colours from the page, so that it follows the light and dark modes.

Every figure is `WIDTH` wide. The page shows it at about this size beside its caption, and a phone
over the whole screen; its letters are legible on both.
"""

import contextlib
import html
import io
import pathlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Colours that stand for variables of the page's style sheet.
_VARIABLES = {
    '#000001': '--ink',
    '#000002': '--line',
    '#000003': '--member',
    '#000004': '--stranger',
    '#000005': '--people',
    '#000006': '--auxiliary',
    '#000007': '--muted',
    '#000008': '--paper',
    '#000009': '--soft',
    '#00000a': '--leak',
    '#00000b': '--clear',
    '#00000c': '--open',
    '#00000d': '--invalid',
}
WIDTH = 4.9
"""Inches."""
COLOUR = {name.strip('-'): placeholder for placeholder, name in _VARIABLES.items()}
STYLE: Any = {
    'svg.fonttype': 'none',
    'font.family': 'sans-serif',
    'font.size': 10,
    'axes.titlesize': 10,
    'figure.constrained_layout.use': True,
    'figure.constrained_layout.w_pad': 0.05,
    'text.color': COLOUR['ink'],
    'axes.edgecolor': COLOUR['line'],
    'axes.labelcolor': COLOUR['ink'],
    'axes.facecolor': 'none',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'xtick.color': COLOUR['line'],
    'ytick.color': COLOUR['line'],
    'xtick.labelcolor': COLOUR['ink'],
    'ytick.labelcolor': COLOUR['ink'],
    'grid.color': COLOUR['line'],
    'legend.frameon': False,
    'figure.facecolor': 'none',
}
# Matplotlib's settings are global to the process, so only one thread draws at a time.
_DRAWING = threading.RLock()
# The styles of the attacks, in the order of the report.
_TINTS = ('member', 'people', 'auxiliary', 'stranger')
_LINES = ('-', '--', '-.')
_MARKERS = 'osD^'


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Applies the report's style to everything drawn inside, one thread at a time."""
    with _DRAWING, matplotlib.rc_context(STYLE):
        yield


def look(place: int, *, counted: bool = True) -> tuple[str, str, str]:
    """Returns (colour, line style, marker) of the attack at `place`; grey where it is not counted.

    Twelve in a row differ; any three in a row differ even without their colours.
    """
    if not counted:
        return COLOUR['muted'], '-.', 'x'
    tint = place % len(_TINTS)
    return COLOUR[_TINTS[tint]], _LINES[place % len(_LINES)], _MARKERS[tint]


def svg(figure: Figure, salt: str, alt: str) -> str:
    """Returns the figure as an SVG element for the page, coloured by its variables.

    Args:
      figure: drawn inside `styled`.
      salt: the figure's name on the page; parts of two figures must not share names.
      alt: what it shows, with its figures, for people who cannot see it.
    """
    text = _drawn(figure, salt)
    text = text[text.index('<svg') :]
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, f'var({variable})')
    text = (
        text.replace('id="', f'id="{salt}-')
        .replace('href="#', f'href="#{salt}-')
        .replace('url(#', f'url(#{salt}-')
    )
    return text.replace('<svg', f'<svg role="img" aria-label="{html.escape(alt)}"', 1)


def alone(figure: Figure, salt: str) -> str:
    """Returns the figure as the text of an SVG file, in the light colours of the page's style sheet.

    Args:
      figure: drawn inside `styled`.
      salt: the same salt gives the same file.
    """
    text = _drawn(figure, salt, facecolor=COLOUR['paper'])
    sheet = (pathlib.Path(__file__).parent / 'style.css').read_text(encoding='utf-8')
    light = dict(re.findall(r'(--[a-z]+): (#[0-9a-f]+)', sheet[: sheet.index('}')]))
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, light[variable])
    return text


def _drawn(figure, salt, **options):
    buffer = io.StringIO()
    with _DRAWING, matplotlib.rc_context({'svg.hashsalt': salt}):
        figure.savefig(buffer, format='svg', metadata={'Date': None}, **options)
    return buffer.getvalue()
