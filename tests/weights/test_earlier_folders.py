"""Native folders of earlier versions, their variables in Orbax: read, and written again as today's."""

import asyncio
import concurrent.futures
import logging
import os

import pytest

from fr_inference import checkpointing
from fr_inference.models.target import origins
from fr_inference.weights import native_folders, native_targets
from tests.weights import native, old_folders
from tests.weights.native import INPUT, described, refused, same


@pytest.fixture(scope='module')
def target():
    return native.target()


class TestEarlierVersions:
    """Their folders, with the variables in Orbax."""

    @pytest.fixture
    def folder(self, tmp_path, target):
        members = [('a.png', 'a', '1' * 64)]
        native_targets.save_target(tmp_path / 'old', target, members=members)
        return old_folders.age(tmp_path / 'old', 'target.json', target.variables)

    def test_are_read_with_a_line_that_says_how_to_convert(self, folder, target):
        found = native_targets.load_target(folder)
        same(found.variables, target.variables)
        assert found.sha256 == checkpointing.digest(target.variables)
        assert found.notes == (*target.notes, native_folders.OLD_FORMAT)
        assert 'convert_weights' in native_folders.OLD_FORMAT
        assert native_targets.read_members(folder) == ['1' * 64]

    def test_what_they_do_not_say_of_the_input_is_assumed(self, tmp_path, target):
        native_targets.save_target(tmp_path, target)
        described(tmp_path, input=INPUT)
        found = native_targets.load_target(tmp_path)
        assert found.input == target.input
        expected = {**origins('layout'), 'colour': 'assumed', 'mirror': 'assumed'}
        assert found.origins == expected

    def test_saved_again_they_are_of_today(self, folder, target):
        """In the same folder: nothing of the old form is left, nor the line about it."""
        native_targets.save_target(folder, native_targets.load_target(folder))
        assert sorted(os.listdir(folder)) == ['target.json', 'variables.safetensors']
        found = native_targets.load_target(folder)
        same(found.variables, target.variables)
        assert found.notes == target.notes

    def test_a_pipe_does_not_hang(self, folder):
        (folder / 'variables' / 'manifest.ocdbt').unlink()
        os.mkfifo(folder / 'variables' / 'manifest.ocdbt')
        assert refused(folder, 'variables/manifest.ocdbt').found == 'not a regular file'

    def test_threads_leave_the_logger_and_the_loops_as_they_were(self, folder, target):
        loops, logger = asyncio.new_event_loop, logging.getLogger('absl')
        assert not logger.disabled
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = list(pool.map(native_targets.load_target, [folder] * 8))
        assert {checkpointing.digest(one.variables) for one in found} == {
            checkpointing.digest(target.variables)
        }
        assert asyncio.new_event_loop is loops
        assert not logger.disabled
