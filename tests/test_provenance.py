"""What it takes to repeat a run is recorded."""

import importlib.metadata
import json
import re
import subprocess

from fr_inference import provenance


class TestDescribe:
    def test_what_it_takes_to_repeat_a_run(self):
        found = provenance.describe('audit --seed=1')
        assert json.loads(json.dumps(found)) == found
        assert found['command'] == 'audit --seed=1'
        assert {'python', 'jax', 'jaxlib', 'numpy'} <= found['versions'].keys()
        assert found['devices'] == ['cpu', 'cpu']

    def test_a_checkout_that_is_not_installed(self, monkeypatch):
        def version(name):
            if name == 'fr_inference':
                raise importlib.metadata.PackageNotFoundError(name)
            return '1.0'

        monkeypatch.setattr(importlib.metadata, 'version', version)
        versions = provenance.describe('')['versions']
        assert (versions['fr_inference'], versions['jax']) == (None, '1.0')

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
