"""The benchmark over devices: what its figures mean, what it writes, what it refuses."""

import functools
import json
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments import (
    benchmark,
    chips,
    inversion_speed,
    loading_speed,
    scaling,
    scoring_speed,
    timing,
)
from fr_inference import errors
from fr_inference.data.drawn import procedural
from fr_inference.models import stylegan2


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing, '_PAUSE', 0)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(
        arch=['tiny'], batch_size=['2'], candidates=['2'], devices=['1', '2'], rounds=2, peer='none'
    ):
        yield


def run(tmp_path, **settings):
    """Returns the JSON of the benchmark, once its plot is known to be one."""
    out = tmp_path / 'speed.json'
    with flagsaver.flagsaver(out=str(out), **settings):
        benchmark.main()
    assert ElementTree.parse(tmp_path / 'speed.svg').getroot().tag.endswith('svg')
    return json.loads(out.read_text())


def is_a_table_over_devices(found):
    assert found['devices'] == [1, 2]
    assert 'weak scaling' in found['batch']
    assert 'nothing about speed' in found['note']
    assert found['peak_bytes_of'] == 'process'
    assert 'peak' not in found
    assert [(row['size'], row['devices']) for row in found['rows']] == [(2, 1), (2, 2)]
    for row in found['rows']:
        assert row['compile_seconds'] > 0
        assert row['warm_up_seconds'] > 0
        assert row['peak_bytes'] > 2**20
        assert len(row['seconds']) == 2
        low, high = row['rate']['quartiles']
        assert low <= row['rate']['median'] <= high
        assert row['rate_per_device'] == row['rate']['median'] / row['devices']
        assert row['flops_per_second_per_device'] == row['flops_per_item'] * row['rate_per_device']
        assert 'share_of_peak' not in row  # absent, not zero
    alone, both = found['rows']
    assert alone['efficiency'] == 1
    assert both['efficiency'] == pytest.approx(
        both['rate']['median'] / (2 * alone['rate']['median'])
    )


def test_scoring_over_devices(tmp_path, capsys):
    found = run(tmp_path)
    is_a_table_over_devices(found['scaling'])
    assert found['backbones']['tiny']['batch_size'] == found['settings']['batch_size'] == 2
    printed = capsys.readouterr().out
    assert scaling.CPU_NOTE in printed
    assert scaling.CPU_NOTE in (tmp_path / 'speed.svg').read_text()


def test_the_best_size_is_that_of_fewest_devices():
    rates = [('a', 1, 8, 5.0), ('a', 1, 16, 7.0), ('a', 2, 8, 99.0), ('b', 1, 8, 50.0)]
    rows = [
        {'name': name, 'devices': devices, 'size': size, 'rate': {'median': rate}}
        for name, devices, size, rate in rates
    ]
    assert scaling.fastest({'rows': rows}, 'a') == 16


def test_training_over_devices(tmp_path):
    scored = scoring_speed.task('tiny', 2, 'float32').flops
    found = run(tmp_path, what='training')
    is_a_table_over_devices(found['scaling'])
    # Forward, and backward for features and weights.
    assert 2.5 < found['scaling']['rows'][0]['flops_per_item'] / scored < 4


def test_inversion_on_two_devices(tmp_path, monkeypatch):
    sizes = {'z_dim': 4, 'w_dim': 4, 'channel_base': 32, 'channel_max': 4, 'mapping_layers': 1}
    small = functools.partial(stylegan2.Generator, **sizes)
    monkeypatch.setattr(inversion_speed.stylegan2, 'Generator', small)
    settings = {'what': 'inversion', 'generator': 'random', 'target': 'tiny', 'resolution': 4}
    found = run(tmp_path, devices=['2'], **settings)
    (row,) = found['scaling']['rows']
    # Two candidates on each of two devices, five steps a call.
    expected = 2 * 2 * 5 * np.median(1 / np.array(row['seconds']))
    assert row['rate']['median'] == pytest.approx(expected)
    assert row['flops_per_item'] > 0
    assert 'efficiency' not in row  # one device alone was not measured
    assert found['steps'] == []
    assert 'networks' not in found  # no peer was asked for


def test_loading_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loading_speed, '_IMAGES', 12)
    person = tmp_path / 'faces' / 'somebody'
    person.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(5):
        picture = Image.fromarray(draw.integers(0, 256, (40, 40, 3), np.uint8))
        picture.save(person / f'{number}.jpg')
    settings = {'what': 'loading', 'faces': str(tmp_path / 'faces'), 'feed': 1e6}
    found = run(tmp_path, **settings)['loading']
    assert (found['images'], found['height'], found['width']) == (12, 32, 32)
    threads, processes = np.split(np.array(found['rows']), 2)
    for kind, rows in (('threads', threads), ('processes', processes)):
        assert {row['kind'] for row in rows} == {kind}
        assert rows[0]['workers'] == 1
        assert rows[-1]['workers'] == found['cores'] == loading_speed.cores()
    each = threads[-1]['images_per_core_second']['median']
    assert found['cores_to_feed'] == -(-1e6 // each)
    assert 'cores feed a device' in capsys.readouterr().out


def test_drawings_are_loaded_by_threads_alone(monkeypatch):
    monkeypatch.setattr(loading_speed, '_IMAGES', 4)
    faces = procedural.faces('easy,people=2,images=2,size=8')
    found = loading_speed.measure(faces, height=8, width=8, batch_size=2, rounds=1)
    assert {row['kind'] for row in found['rows']} == {'threads'}


def test_loading_draws_its_own_faces():
    with loading_speed.opened(None, 16) as faces:
        assert faces.paths[0].endswith('.jpg')
        assert faces.read(len(faces) - 1).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'devices': ['1', '3']}, '--devices: found 3, but this process has 2'),
        ({'devices': ['99']}, 'JAX_NUM_CPU_DEVICES=8'),
        ({'devices': ['0']}, "--devices: found '0'"),
        ({'devices': ['two']}, "--devices: found 'two'"),
        ({'devices': []}, '--devices: found none'),
        ({'batch_size': ['-1']}, "--batch_size: found '-1'"),
        ({'what': 'training', 'batch_size': ['1']}, 'expected 2 or more for training'),
        ({'what': 'inversion', 'candidates': ['x']}, "--candidates: found 'x'"),
        ({'what': 'inversion', 'resolution': 100}, '--resolution: found 100'),
        ({'what': 'loading', 'batch_size': ['1', '2']}, r'--batch_size: found \[1, 2\]'),
        ({'what': 'loading', 'feed': 0.0}, '--feed: found 0.0'),
        ({'what': 'loading', 'faces': '/none/such'}, '--faces: .*not found'),
        ({'out': 'speed.svg'}, '--out: found speed.svg'),
    ],
)
def test_bad_input_is_one_line(settings, message):
    with flagsaver.flagsaver(**settings), pytest.raises(errors.InputError, match=message) as caught:
        benchmark.main()
    assert '\n' not in str(caught.value)


def test_what_is_measured_is_among_the_known():
    with pytest.raises(flags.IllegalFlagValueError, match='should be one of'):
        flags.FLAGS['what'].parse('speed')


def test_work_is_counted_of_what_has_no_loop():
    """XLA counts a loop's body once; so one item's program is counted, and multiplied here."""
    weights = jnp.ones((32, 32))

    def program(steps):
        def step(x, _):
            return x @ weights, None

        return jax.jit(lambda x: jax.lax.scan(step, x, length=steps)[0])

    x = jnp.ones((4, 32))
    product = chips.flops(jax.jit(lambda x: x @ weights), x)
    assert product == 2 * 4 * 32 * 32
    assert chips.flops(program(1), x) == pytest.approx(product, rel=0.01)
    assert chips.flops(program(50), x) == pytest.approx(product, rel=0.01)


@pytest.mark.parametrize(
    ('kind', 'teraflops'),
    [
        ('NVIDIA H100 80GB HBM3', 989.5),
        ('NVIDIA H100 PCIe', 756.5),
        ('NVIDIA H200', 989.5),
        ('NVIDIA H200 NVL', 835.5),
        ('NVIDIA A100-SXM4-80GB', 312),
        ('TPU v4', 275),
        ('TPU v5 lite', 197),
        ('TPU v5p', 459),
        ('TPU v6 lite', 918),
        ('TPU v4 lite', None),
        ('NVIDIA GeForce RTX 4090', None),
        ('cpu', None),
    ],
)
def test_peak_of_a_device(kind, teraflops):
    found = chips.peak(kind)
    assert (found and found[0]) == (teraflops and teraflops * 1e12)


def test_share_of_the_peak(monkeypatch):
    """Of a device that is known: the rate of one, times its work, over the peak."""
    monkeypatch.setattr(chips, 'peak', lambda kind: (1e9, 'https://vendor.example/sheet'))
    program = jax.jit(lambda x: 2 * x)
    task = scaling.Task(
        name='doubling',
        size=3,
        items=3,
        flops=10.0,
        build=lambda devices: scaling.Program(
            lower=lambda: program.lower(jnp.ones(3)), call=lambda compiled: compiled(jnp.ones(3))
        ),
    )
    found = scaling.measure([task], [1], rounds=3)
    (row,) = found['rows']
    assert found['peak'] == {
        'bfloat16_flops_per_second': 1e9,
        'source': 'https://vendor.example/sheet',
    }
    assert row['share_of_peak'] == pytest.approx(10 * row['rate']['median'] / 1e9)
    assert '% of the bfloat16 peak' in scaling.table(found, 'numbers')
