"""What it takes to repeat a run is recorded; a folder holds one run, and says which."""

import json
import re
import subprocess

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


class TestDescribe:
    def test_what_it_takes_to_repeat_a_run(self):
        found = provenance.describe('audit --seed=1')
        assert json.loads(json.dumps(found)) == found
        assert found['command'] == 'audit --seed=1'
        assert {'python', 'jax', 'jaxlib', 'numpy'} <= found['versions'].keys()
        assert found['devices'] == ['cpu', 'cpu']

    def test_the_commit(self, tmp_path):
        assert provenance._commit(tmp_path) is None

        def git(*arguments):
            own = ['-c', 'user.name=x', '-c', 'user.email=x@x']
            subprocess.run(
                ['git', '-C', tmp_path, *own, *arguments], check=True, capture_output=True
            )

        git('init')
        assert provenance._commit(tmp_path) is None  # nothing was committed
        file = tmp_path / 'file'
        file.write_text('a')
        git('add', 'file')
        git('commit', '-m', 'first')
        commit = provenance._commit(tmp_path)
        assert re.fullmatch('[0-9a-f]{40}', commit)
        file.write_text('b')
        assert provenance._commit(tmp_path) == f'{commit}+changes'
