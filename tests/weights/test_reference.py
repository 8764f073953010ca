"""Two real checkpoints on real faces: the numbers their own PyTorch code gave (../shared)."""

import numpy as np
import pytest

from fr_inference.data import sources
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.measuring import measurements
from fr_inference.models import registry
from fr_inference.weights import families, targets

RTOL = 1e-3
CHECKPOINTS = {
    'mobilefacenet_casia': ('mobilefacenet_casia.ckpt', 'mobilefacenet_prelu', 50, (112, 96)),
    'mobilefacenet_ms1m': ('mobilefacenet_ms1m.pt', 'mobilefacenet_relu6', 51, (112, 112)),
}
DIGESTS = {
    'mobilefacenet_casia': 'e839247cdbdfc023fb7cadeaf53a4549d50c8fc24ad154c02e35920ea8910d99',
    'mobilefacenet_ms1m': '90a00ba1d8b0b688af3deb731ed53dca582e6106805d1bc3cfdef55f570493f4',
}


@pytest.fixture(scope='module', params=CHECKPOINTS)
def case(request, shared):
    """(name, target, what it measures, what PyTorch measured)."""
    file, *_ = CHECKPOINTS[request.param]
    target = targets.open_target(shared / 'weights' / file)
    with np.load(shared / 'data' / 'reference' / f'{request.param}.npz') as data:
        expected = dict(data)
    rows = [str(shared / 'data' / 'lfw112' / name) for name in expected['files']]
    everyone = sources.open_faces(shared / 'data' / 'lfw112')
    positions = {path: position for position, path in enumerate(everyone.paths)}
    faces = everyone.select([positions[row] for row in rows])
    return request.param, target, measurements.measure(target, faces), expected


def test_recognised(case):
    name, target, measured, _ = case
    _, architecture, layers, size = CHECKPOINTS[name]
    assert (target.architecture, target.config, target.notes) == (architecture, {}, ())
    assert (target.input.height, target.input.width) == size
    assert registry.count_parameters(target.variables) == registry.VARIANTS[architecture].parameters
    assert len(measured.layers) == layers
    assert target.sha256 == DIGESTS[name]


def test_embeddings(case):
    _, _, measured, expected = case
    found, wanted = measured.embeddings, expected['embedding']
    # A component that cancels to nearly zero is as exact as its neighbours, not as itself.
    np.testing.assert_allclose(found, wanted, rtol=RTOL, atol=1e-4 * np.abs(wanted).max())
    norms = np.linalg.norm(wanted, axis=1)
    assert (np.linalg.norm(found - wanted, axis=1) < RTOL * norms).all()


def test_distances(case, shared):
    """Layer by layer, under the names that the layers have in PyTorch."""
    name, _, measured, expected = case
    state = read_tensors(shared / 'weights' / CHECKPOINTS[name][0])
    match, _, _ = families.recognise(state.tensors, name)
    places = {layer.source: layer.target for layer in match.layers if layer.kind == 'norm'}
    assert tuple(places[layer] for layer in expected['layers']) == measured.layers
    np.testing.assert_allclose(measured.distances, expected['distance_sum'], rtol=RTOL)
