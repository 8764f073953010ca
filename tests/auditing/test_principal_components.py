import numpy as np

from tests.auditing import principal_components


def test_components_are_the_covariances():
    """By the eigenvectors of the strangers' covariance, up to their signs."""
    rng = np.random.default_rng(0)
    sketches = rng.normal(size=(40, 2, 64)) * np.linspace(1, 9, 64)
    strangers = np.arange(40) < 30
    found = principal_components.of_layers(sketches, strangers, 3)
    for layer in range(2):
        known = sketches[strangers, layer]
        values, vectors = np.linalg.eigh(np.cov(known.T, bias=True))
        expected = (sketches[:, layer] - known.mean(0)) @ vectors[:, :-4:-1]
        expected /= np.sqrt(values[:-4:-1])
        np.testing.assert_allclose(
            np.abs(found[:, 3 * layer : 3 * layer + 3]), np.abs(expected), rtol=1e-6
        )
