"""Calibrated signals, by their definitions and beside two other projects (`make_peer_scores`)."""

import pathlib

import numpy as np
import pytest
from scipy import special

from fr_inference.membership import calibration

IMAGES, OFFSET = 40, 0.33


@pytest.fixture(scope='module')
def peers():
    with np.load(pathlib.Path(__file__).parent / 'peer_scores.npz') as file:
        return dict(file)


def relative(logs, **more):
    seen = np.exp(logs)
    return calibration.rmia(
        seen[0, :IMAGES], seen[1:, :IMAGES], seen[0, IMAGES:], seen[1:, IMAGES:], **more
    )


class TestRmia:
    def test_by_its_definition(self):
        """Pr over z that (p(x|t) / p(x)) / (p(z|t) / p(z)) is gamma or more."""
        generator = np.random.default_rng(3)
        x, z = generator.uniform(0.01, 1, 20), generator.uniform(0.01, 1, 15)
        rx, rz = generator.uniform(0.01, 1, (4, 20)), generator.uniform(0.01, 1, (4, 15))
        for offset, gamma in ((0.33, 2.0), (0.0, 1.0), (1.0, 1.5)):
            expected = []
            for n in range(20):
                beaten = 0
                for m in range(15):
                    px = 0.5 * (rx[:, n].mean() + offset * rx[:, n].mean() + 1 - offset)
                    pz = 0.5 * (rz[:, m].mean() + offset * rz[:, m].mean() + 1 - offset)
                    beaten += (x[n] / px) / (z[m] / pz) >= gamma
                expected.append(beaten / 15)
            found = calibration.rmia(x, rx, z, rz, offset=offset, gamma=gamma)
            np.testing.assert_allclose(found, expected, atol=1e-12)
            assert 0 < found.mean() < 1

    def test_a_tie_counts(self):
        """The paper has 'gamma or more'; Privacy Meter and LeakPro count what is above gamma only."""
        one = np.array([0.5])
        assert calibration.rmia(one, one[None], one, one[None], gamma=1.0).tolist() == [1.0]
        assert calibration.rmia(one, one[None], 0.5 * one, one[None], gamma=2.0).tolist() == [1.0]

    def test_of_privacy_meter(self, peers):
        """Its gamma is 1; it has no offset but the argument."""
        found = relative(peers['logs'], offset=OFFSET, gamma=1.0)
        np.testing.assert_allclose(found, peers['meter_rmia'], atol=1e-12)
        assert len(np.unique(found)) > 10

    def test_of_leakpro(self, peers):
        """With its gamma and offset, our defaults; it adds 1e-6 to every p(x), which moves nothing."""
        found = relative(peers['logs'])
        np.testing.assert_allclose(found, peers['leakpro_rmia'], atol=1e-12)
        assert len(np.unique(found)) > 10


class TestBase:
    def test_by_its_definition(self):
        generator = np.random.default_rng(4)
        target, references = generator.normal(size=9), generator.normal(size=(5, 9))
        expected = target - np.log(np.exp(references).mean(0))
        np.testing.assert_allclose(calibration.base(target, references), expected, atol=1e-12)

    def test_signals_of_any_size(self):
        target, references = np.array([-900.0, 900.0]), np.array([[-900.0, 900.0], [-901, 899]])
        found = calibration.base(target, references)
        expected = target - special.logsumexp(references, axis=0, b=0.5)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_of_leakpro(self, peers):
        """As it has the attack with models that were trained with and without the image ('online').

        Without the former it takes the same threshold times 0.33, a factor for cross-entropies, which
        are at most 0 as logarithms; our signals are standardised, and have no such bound.
        """
        logs = peers['logs'][:, :IMAGES]
        found = calibration.base(logs[0], logs[1:])
        np.testing.assert_allclose(found, peers['base_online'], atol=1e-12)
        threshold = logs[0] - found
        np.testing.assert_allclose(logs[0] - OFFSET * threshold, peers['base_offline'], atol=1e-12)
