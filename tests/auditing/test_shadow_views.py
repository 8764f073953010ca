"""An audit with a shadow backbone: trained on the way, or given."""

import dataclasses
import hashlib

import flax.linen as nn
import pytest

from fr_inference import checking, config
from fr_inference.data import overlap
from fr_inference.errors import InputError
from fr_inference.membership.views import Shadow
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.opening import Opened
from fr_inference.training import recognizer
from tests.auditing.conftest import SETTINGS
from tests.membership.backbones import SIZE, Plain, Small, target_of


class TinyViT(nn.Module):
    """A vision transformer without BatchNorm."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(8, (4, 4), strides=(4, 4))(x)
        x = x.reshape(x.shape[0], -1, 8)
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(nn.LayerNorm()(x))
        return nn.Dense(6)(nn.LayerNorm()(x).reshape(x.shape[0], -1))


SPEC = InputSpec(height=SIZE, width=SIZE)
ANSWERS = {'norm/auxiliary', 'combined-answers/auxiliary'}


def of_shadow(found):
    return {one.key: one for one in found.comparisons if one.setting == 'auxiliary'}


class TestWithoutBatchNorm:
    """Attacks on the embeddings need a shadow, but no statistics."""

    @pytest.fixture
    def transformer(self, monkeypatch):
        monkeypatch.setitem(registry.VARIANTS, 'tiny-vit', registry.Variant(TinyViT, SPEC, 0))
        recipe = {'epochs': 1, 'batch_size': 8, 'learning_rate': 0.01}
        fresh = recognizer.fresh_target('tiny-vit', {}, SPEC, 0)
        return dataclasses.replace(fresh, recipe=recipe)

    def test_trained_on_the_way(self, audit, auxiliary, transformer):
        settings = dataclasses.replace(SETTINGS, allow_misfit=True)  # it never learned
        found = audit(settings, target=transformer, auxiliary=auxiliary)
        assert set(of_shadow(found)) == ANSWERS
        moved = of_shadow(found)['norm/auxiliary']
        assert None not in (moved.blind, moved.null, moved.excess)
        assert found.record['membership']['shadow']['recipe']['images'] == 8
        assert not any('auxiliary faces were not' in line for line in found.record['limits'])

    def test_not_trained_where_no_attack_uses_it(self, auxiliary, transformer):
        opened = Opened(target=transformer, faces={'auxiliary': auxiliary})
        for attacks, needed in ((('norm',), True), (('bn-distance', 'people'), False)):
            settings = config.Settings(attacks=attacks)
            assert checking.shadow_is_missing(opened, settings, membership=True) == needed
            assert not checking.shadow_is_missing(opened, settings, membership=False)

    def test_given_for_an_architecture_that_cannot_be_trained(self, audit, auxiliary):
        """Its own layers are nothing that the target shows."""
        given = Shadow(
            target=target_of(Small(), seed=3), digests=overlap.content_digests(auxiliary)[:8]
        )
        found = audit(target=target_of(Plain(), name='plain'), auxiliary=auxiliary, shadow=given)
        assert set(of_shadow(found)) == ANSWERS
        without = audit(target=target_of(Plain(), name='plain'), auxiliary=auxiliary)
        assert not of_shadow(without)
        assert any('auxiliary faces were not' in line for line in without.record['limits'])


class TestShadow:
    def test_trained_on_the_way(self, audit, auxiliary, tmp_path, monkeypatch):
        spec = InputSpec(height=SIZE, width=SIZE)
        monkeypatch.setitem(registry.VARIANTS, 'small', registry.Variant(Small, spec, 146))
        target = dataclasses.replace(
            recognizer.fresh_target('small', {}, spec, 0),
            recipe={'epochs': 1, 'batch_size': 8, 'learning_rate': 0.01},
        )
        found = audit(target=target, auxiliary=auxiliary, workdir=tmp_path)
        shadow = found.record['membership']['shadow']
        assert (shadow['members'], shadow['nonmembers']) == (8, 8)
        assert shadow['recipe']['epochs'] == 1
        assert shadow['recipe']['images'] == 8
        by_key = {one.key: one for one in found.comparisons}
        assert {key for key in by_key if key.endswith('/auxiliary')} == {
            *('combined-file/auxiliary', 'combined-answers/auxiliary', 'bn-distance/auxiliary'),
            *('bn-moments/auxiliary', 'norm/auxiliary'),
        }
        assert by_key['combined-file/auxiliary'].blind is not None
        moved = by_key['bn-distance/auxiliary']
        assert None not in (moved.blind, moved.null, moved.excess)
        # Four people on each side are too few for the attack that combines others.
        assert 'on_itself' not in shadow
        assert any("target's own recipe" in line for line in found.record['limits'])
        assert (tmp_path / 'shadow' / 'run.json').exists()

    def test_a_custom_architecture_needs_a_shadow_given(self, audit, auxiliary):
        with pytest.raises(InputError) as caught:
            audit(auxiliary=auxiliary)
        assert caught.value.field == 'auxiliary'

    @pytest.mark.parametrize('field', ['shadow', 'shadow_init'])
    def test_without_auxiliary(self, audit, target, field):
        given = {'shadow': Shadow(target=target, digests=[]), 'shadow_init': target}
        with pytest.raises(InputError) as caught:
            audit(**{field: given[field]})
        assert (caught.value.field, caught.value.found) == (field, 'no auxiliary faces')
        assert 'also give auxiliary' in (caught.value.hint or '')

    def test_two_beginnings(self, audit, target, auxiliary):
        with pytest.raises(InputError) as caught:
            audit(
                auxiliary=auxiliary,
                shadow=Shadow(target=target, digests=[]),
                shadow_init=target,
            )
        assert caught.value.field == 'shadow_init'

    def test_that_learned_nobody_of_them(self, audit, target, auxiliary):
        with pytest.raises(InputError) as caught:
            audit(
                auxiliary=auxiliary,
                shadow=Shadow(target=target, digests=[hashlib.sha256().hexdigest()]),
            )
        assert caught.value.field == 'shadow'
        assert caught.value.found.startswith('0 of 16 auxiliary images')

    def test_of_another_architecture(self, audit, auxiliary):
        shadow = target_of(Plain())
        with pytest.raises(InputError) as caught:
            audit(
                auxiliary=auxiliary,
                shadow=Shadow(target=shadow, digests=overlap.content_digests(auxiliary)[:8]),
            )
        assert (caught.value.field, caught.value.found) == ('shadow', '0 BatchNorm layers')
