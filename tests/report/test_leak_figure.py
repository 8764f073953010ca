"""The figure of a training stands alone: colours of its own, and a panel for what is known."""

import re

import pytest

from fr_inference.report import leak_figure, svg

RIGHT = {'accuracy': 0.8, 'accuracy_ci95': [0.7, 0.9]}


def row(epoch, verification):
    ends = {'auc': 0.6, 'auc_ci95': [0.5, 0.7]}
    return {'epoch': epoch, 'attack': 'norm', 'verification': verification, **ends}


@pytest.mark.parametrize('verification', [RIGHT, None], ids=['verified', 'not verified'])
def test_panels(verification):
    text = leak_figure.draw([row(0, verification), row(2, verification)])
    assert ('% right' in text) == (verification is not None)
    assert 'AUC (norm)' in text
    assert 'var(' not in text
    assert not set(re.findall('#[0-9a-f]{6}', text)) & set(svg.COLOUR.values())
    assert text == leak_figure.draw([row(0, verification), row(2, verification)])
