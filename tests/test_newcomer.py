"""A newcomer adds one file: a toy attack and a toy backbone appear wherever one looks for them."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

ATTACK = '''"""How bright the picture is."""

import jax.numpy as jnp

from fr_inference.measuring.features import Feature
from fr_inference.membership import attack


def _brightness(look, network):
    return jnp.mean(look.image)[None] / 255


def _examples(images, fit, seed):
    return attack.of_images(images, fit, images.extra['brightness'])


ATTACK = attack.Attack(
    name='brightness',
    title='Brightness of the picture',
    source='a toy',
    access='answers',
    unit='image',
    needs='nothing',
    examples=_examples,
    measured=(Feature('brightness', _brightness),),
)
'''

BACKBONE = '''"""One convolution."""

import flax.linen as nn

from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant


class Toy(nn.Module):
    embedding: int = 8

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), strides=2)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        return nn.Dense(self.embedding)(x.mean((1, 2)))


VARIANTS = {'toy': Variant(Toy, InputSpec(height=16, width=16), 160)}
'''

# Writes an untrained target of that architecture, as training would.
SAVE = """
from fr_inference.models import registry
from fr_inference.training import recognizer
from fr_inference.weights import native_targets

target = recognizer.fresh_target('toy', {}, None, seed=0)
assert registry.count_parameters(target.variables) == registry.VARIANTS['toy'].parameters
native_targets.save_target('network', target)
"""

FACES = 'procedural:easy,images=2,size=16,people=24'
TABLE = [
    ('name', 'target', 'members', 'nonmembers'),
    ('row', 'network', FACES, f'{FACES},first=24'),
]


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    """The package and the programs; two files were added, none was changed."""
    root = tmp_path_factory.mktemp('newcomer')
    for name in ('fr_inference', 'experiments'):
        shutil.copytree(
            ROOT / name,
            root / name,
            copy_function=os.symlink,
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    (root / 'fr_inference/membership/attacks/brightness.py').write_text(ATTACK)
    (root / 'fr_inference/models/backbones/toy.py').write_text(BACKBONE)
    with open(root / 'targets.csv', 'w', newline='') as file:
        csv.writer(file).writerows(TABLE)
    return root


def python(root, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ('program', 'flag', 'choice'),
    [('audit', 'attacks', 'brightness'), ('train_recognizer', 'arch', 'toy')],
)
def test_is_a_choice_of_the_flag(copy, program, flag, choice):
    done = subprocess.run(
        [sys.executable, '-m', f'experiments.{program}', '--help'],
        cwd=copy,
        env={**os.environ, 'PYTHONPATH': str(copy)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    shown = done.stdout.rpartition(f'  --{flag}=')[2]
    assert choice in shown.partition('\n  --')[0]


@pytest.fixture(scope='module')
def audited(copy):
    """A batch of one row: the toy backbone, by all attacks."""
    python(copy, '-c', SAVE)
    python(copy, '-m', 'experiments.batch_audit', '--targets=targets.csv', '--out=out')
    return copy / 'out'


def test_attack_stands_in_the_record_with_its_controls(audited):
    record = json.loads((audited / 'row/audit.json').read_text())
    assert record['target']['architecture'] == 'toy'
    comparisons = record['membership']['comparisons']
    (comparison,) = [one for one in comparisons if one['attack'] == 'brightness']
    assert (comparison['access'], comparison['setting']) == ('answers', 'partial')
    for control in ('blind', 'null'):
        assert 0 <= comparison[control]['auc'] <= 1
    # The picture is as bright for the blind backbone.
    assert comparison['blind']['auc'] == comparison['auc']
    assert comparison['excess']['auc'] == 0
    with open(audited / 'row/scores.csv') as file:
        assert 'logit_brightness/partial' in file.readline()


def test_both_stand_in_the_pages(audited):
    report = (audited / 'row/report.html').read_text()
    batch = (audited / 'comparison.html').read_text()
    assert 'Brightness of the picture' in report
    # Beside all others: the page shows the attacks that verdicts rest on, the table below it each.
    assert 'auc brightness/partial' in (audited / 'comparison.csv').read_text()
    assert all('toy' in page for page in (report, batch))
