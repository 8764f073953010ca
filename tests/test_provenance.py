"""A folder holds one run, and says which."""

import json

import pytest

from fr_inference import provenance
from fr_inference.checks import InputError

RUN = {'seed': 1, 'recipe': {'epochs': 3, 'rate': 0.1}, 'faces': 'abc'}


class TestRuns:
    def test_first_and_again(self, tmp_path):
        path = tmp_path / 'deep' / 'run.json'
        assert provenance.claim_run(path, RUN) == []
        assert provenance.claim_run(path, RUN) == []
        assert json.loads(path.read_text()) == RUN

    def test_differences(self, tmp_path):
        path = tmp_path / 'run.json'
        provenance.claim_run(path, RUN)
        other = {'seed': 2, 'recipe': {'epochs': 3, 'rate': 0.2}, 'faces': 'abc'}
        differences = provenance.claim_run(path, other)
        assert differences == ['recipe.rate (0.1 there, 0.2 here)', 'seed (1 there, 2 here)']
        assert json.loads(path.read_text()) == RUN  # left as it was

    def test_of_another_kind(self, tmp_path):
        path = tmp_path / 'run.json'
        path.write_text('{"seed": 1, "recipe": 5}')
        assert provenance.claim_run(path, RUN) == [
            "faces (None there, 'abc' here)",
            'recipe.epochs (None there, 3 here)',
            'recipe.rate (None there, 0.1 here)',
        ]

    @pytest.mark.parametrize('content', ['{', '[]', '"text"', 'null', '[' * 100_000])
    def test_damaged(self, tmp_path, content):
        path = tmp_path / 'run.json'
        path.write_text(content)
        with pytest.raises(InputError, match=r'run\.json: damaged'):
            provenance.claim_run(path, RUN)
