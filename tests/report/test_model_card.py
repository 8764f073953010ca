"""The privacy section of a model card, on the demo's records."""

import copy

import pytest
import yaml

from fr_inference import errors
from fr_inference.report import model_card
from tests.report import demo

PERSON = 'Ann-Example'


def parts(record):
    """(metadata, section) of a card."""
    empty, head, section = model_card.render(record).split('---\n', 2)
    assert not empty
    return yaml.safe_load(head), section


def metrics(head):
    (model,) = head['model-index']
    return [
        (result['task']['type'], metric)
        for result in model['results']
        for metric in result['metrics']
    ]


def test_says_what_the_audit_says():
    record = demo.record_of('leaky')
    head, section = parts(record)
    first = record['membership']['comparisons'][0]
    assert head['model-index'][0]['name'] == 'demo_leaky'
    task, metric = metrics(head)[0]
    assert (task, metric['type']) == ('membership-inference', 'roc_auc')
    assert metric['value'] == pytest.approx(first['auc'], abs=5e-5)
    said = metric['args']
    assert said['ci95'] == pytest.approx(first['auc_ci95'], abs=5e-5)
    assert (said['attack'], said['access'], said['knows']) == ('bn-distance', 'file', 'partial')
    assert said['blind_auc'] == pytest.approx(first['blind']['auc'], abs=5e-5)
    assert said['null_auc'] == pytest.approx(first['null']['auc'], abs=5e-5)
    assert (said['verdict'], said['fr_inference']) == ('leak', '0.2.0')
    assert '**Verdict: leak**' in section
    for block in (first, first['blind'], first['null']):
        low, high = block['auc_ci95']
        assert f'{block["auc"]:.3f} ({low:.3f} to {high:.3f})' in section
    assert record['provenance']['target_sha256'] in section


def test_what_huggingface_demands_is_there():
    """huggingface_hub's `model_index_to_eval_results` reads these keys of every result."""
    for name in demo.NAMES:
        (model,) = parts(demo.record_of(name))[0]['model-index']
        assert model['name']
        for result in model['results']:
            assert result['task']['type']
            assert result['dataset']['type']
            assert result['dataset']['name']
            assert all({'type', 'value'} <= metric.keys() for metric in result['metrics'])


def test_a_failed_control_is_said_and_its_figure_no_result():
    head, section = parts(demo.record_of('few'))
    assert 'Not counted: a control failed' in section
    assert 'people' not in [metric['args'].get('attack') for _, metric in metrics(head)]
    task, metric = metrics(head)[-1]
    assert (task, metric['value']) == ('model-inversion', 0.3906)
    assert '39 % (27 % to 51 %) of 128 reconstructed faces' in section


def test_an_invalid_audit_publishes_no_figure():
    record = demo.record_of('leaky')
    record['data']['members']['in_training_list'] = 0
    head, section = parts(record)
    assert 'model-index' not in head
    assert '**Verdict: invalid**' in section
    assert '0.897' not in section


@pytest.mark.parametrize('name', demo.NAMES)
def test_nobody_is_named(name):
    record = copy.deepcopy(demo.record_of(name))
    for side in record['data'].values():
        side['source'] = f'/faces/{PERSON}'
    record['skipped'] = [{'path': f'{PERSON}/1.jpg', 'reason': PERSON}]
    record['overlaps'] = [f'1 person on two sides: {PERSON}']
    record['provenance']['command'] = f'--members={PERSON}'
    record['target']['recipe'] = {'faces': PERSON}
    for person in record.get('exposed', {}).get('people', ()):
        person['identity'] = PERSON
    assert PERSON not in model_card.render(record)


@pytest.mark.parametrize(
    'name',
    ['a: b # c', '- x', '"q" \'s', '---', 'é\u2028\x7f\x1b\n: y', '\U0001f600', '\udcff', '<b>|`'],
)
def test_any_name_is_one_value(name):
    record = demo.record_of('easy')
    record['target']['name'] = name
    head, _ = parts(record)
    assert head['model-index'][0]['name'] == errors.shown(name)
    model_card.render(record).encode()


def test_writes_over_its_own_card_only(tmp_path):
    record, path = demo.record_of('easy'), tmp_path / 'card.md'
    model_card.check(path)
    model_card.write(record, path)
    model_card.check(path)
    model_card.write(record, path)
    assert path.read_text(encoding='utf-8') == model_card.render(record)
    path.write_text('# The card of my model', encoding='utf-8')
    for refused in (path, tmp_path):
        with pytest.raises(errors.InputError) as caught:
            model_card.check(refused)
        assert caught.value.field == 'card'
    with pytest.raises(errors.InputError):
        model_card.write(record, path)
    assert path.read_text(encoding='utf-8') == '# The card of my model'
