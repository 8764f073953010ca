"""A newcomer adds one file: a toy attack and a toy backbone appear wherever one looks for them."""

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


def _brightness(image, embedding, distances):
    return jnp.mean(image)[None] / 255


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

AUDIT = """
import sys
import fr_inference
from fr_inference.training import recognizer

target = recognizer.fresh_target('tiny', {}, fr_inference.InputSpec(height=16, width=16), seed=0)
faces = 'procedural:easy,images=2,size=16,people=24'
found = fr_inference.audit(
    target,
    members=faces,
    nonmembers=f'{faces},first=24',
    settings=fr_inference.Settings(replicates=100, batch_size=16),
)
found.save(sys.argv[1])
"""


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    """The package and the programs, with a toy attack; one file was added, none changed."""
    root = tmp_path_factory.mktemp('newcomer')
    for name in ('fr_inference', 'experiments'):
        shutil.copytree(
            ROOT / name,
            root / name,
            copy_function=os.symlink,
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    (root / 'fr_inference/membership/attacks/brightness.py').write_text(ATTACK)
    return root


def python(root, *arguments):
    done = subprocess.run(
        [sys.executable, '-W', 'error', *arguments],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_attack_is_an_option(copy):
    program = 'from fr_inference.membership import attacks; print(*attacks.names())'
    assert python(copy, '-c', program).split() == ['bn-distance', 'people', 'brightness']


@pytest.fixture(scope='module')
def audited(copy):
    python(copy, '-c', AUDIT, 'out')
    return copy / 'out'


def test_attack_stands_in_the_record_with_its_controls(audited):
    record = json.loads((audited / 'audit.json').read_text())
    found = [one for one in record['membership']['comparisons'] if one['attack'] == 'brightness']
    (comparison,) = found
    assert (comparison['access'], comparison['setting']) == ('answers', 'partial')
    for control in ('blind', 'null'):
        assert 0 <= comparison[control]['auc'] <= 1
    # The picture is as bright in the blind backbone.
    assert comparison['blind']['auc'] == comparison['auc']
    assert comparison['excess']['auc'] == 0
    with open(audited / 'scores.csv') as file:
        assert 'logit_brightness/partial' in file.readline()


def test_attack_stands_in_the_report(audited):
    assert 'Brightness of the picture' in (audited / 'report.html').read_text()
