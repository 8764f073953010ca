"""The plots: rates, and shares of the bound where they are known."""

import xml.etree.ElementTree as ElementTree

import pytest

from fr_inference.benchmarking import scaling_plot


@pytest.mark.parametrize('known', [True, False])
def test_rates_and_shares(known):
    rows = [
        {
            'name': 'iresnet50',
            'size': 64,
            'devices': count,
            'rate': {'median': 90.0 * count, 'quartiles': [80.0 * count, 95.0 * count]},
            'seconds': [1.0, 1.0, 1.0],
            **({'share_of_bound': 0.5 / count} if known else {}),
        }
        for count in (1, 2, 4)
    ]
    drawn = scaling_plot.of_devices({'device': 'a chip', 'rows': rows}, 'images', 'scoring')
    assert ElementTree.fromstring(drawn).tag.endswith('svg')
    assert 'images/s' in drawn
    assert ('% of the bound' in drawn) == known
    assert ('The bound: arithmetic' in drawn) == known
