"""A folder holds one run, and says which."""

import json
import re

import pytest

from fr_inference import provenance
from fr_inference.errors import InputError

RUN = {'seed': 1, 'recipe': {'epochs': 3, 'rate': 0.1}, 'faces': 'abc'}


class TestRuns:
    def test_first_and_again(self, tmp_path):
        folder = tmp_path / 'deep'
        provenance.claim_run(folder, RUN)
        provenance.claim_run(folder, RUN)
        assert json.loads((folder / 'run.json').read_text()) == RUN

    def test_differences(self, tmp_path):
        provenance.claim_run(tmp_path, RUN)
        other = {'seed': 2, 'recipe': {'epochs': 3, 'rate': 0.2}, 'faces': 'abc'}
        expected = 'differs in recipe.rate (0.1 there, 0.2 here), seed (1 there, 2 here);'
        with pytest.raises(InputError, match=re.escape(expected)):
            provenance.claim_run(tmp_path, other)
        assert json.loads((tmp_path / 'run.json').read_text()) == RUN  # left as it was

    def test_of_another_kind(self, tmp_path):
        (tmp_path / 'run.json').write_text('{"seed": 1, "recipe": 5}')
        expected = (
            "differs in faces (None there, 'abc' here), recipe.epochs (None there, 3 here), "
            'recipe.rate (None there, 0.1 here);'
        )
        with pytest.raises(InputError, match=re.escape(expected)):
            provenance.claim_run(tmp_path, RUN)

    @pytest.mark.parametrize('content', ['{', '[]', '"text"', 'null', '[' * 100_000])
    def test_damaged(self, tmp_path, content):
        (tmp_path / 'run.json').write_text(content)
        with pytest.raises(InputError, match=r'run\.json: damaged'):
            provenance.claim_run(tmp_path, RUN)
