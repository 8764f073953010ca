"""The table of a batch: what it may say, and what is wrong with it in one line."""

import pytest

from fr_inference import errors
from fr_inference.batch import table
from tests.experiments.targets import MEMBERS, OTHERS


def read(tmp_path, text, **given):
    (tmp_path / 'table.csv').write_text(text)
    shared = {'members': MEMBERS, 'nonmembers': OTHERS}
    return table.read(str(tmp_path / 'table.csv'), {**shared, **given})


def test_a_row_overrides_what_holds_for_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.model.pth').write_text('')
    rows = read(tmp_path, '\ufefftarget,seed,name\n a.model.pth ,,\nruns/e 1/,5,\nx, ,n\n', seed=2)
    assert [row.name for row in rows] == ['a.model', 'e_1', 'n']
    assert [row.settings.seed for row in rows] == [2, 5, 2]
    assert rows[0].inputs.target == str(tmp_path / 'a.model.pth')  # beside the table
    assert rows[1].inputs.target == 'runs/e 1/'
    assert rows[0].inputs.members == MEMBERS


def test_columns_have_the_types_of_the_options(tmp_path):
    text = 'target,generator,evaluator,sweep,untrained,thumbnails\na,g,e,"0,0.5",false,\nb,,,,,0\n'
    first, second = read(tmp_path, text, steps=7)
    assert (first.search.steps, first.search.sweep, first.search.untrained) == (7, (0, 0.5), False)
    assert (first.report.thumbnails, second.report.thumbnails) == (None, False)
    assert second.search is None  # --steps holds for the rows that search


def test_a_row_has_its_own_input_convention(tmp_path):
    text = 'target,colour,mean,input_size\na,bgr,"0,0,0",112x96\nb,,,\n'
    first, second = read(tmp_path, text, std=(255.0, 255.0, 255.0))
    given = {'colour': 'bgr', 'mean': (0.0, 0.0, 0.0), 'std': (255.0,) * 3}
    assert first.inputs.input == {**given, 'height': 112, 'width': 96}
    assert second.inputs.input == {'std': (255.0,) * 3}


@pytest.mark.parametrize('mark', [';', '\t', ', '])
def test_as_spreadsheets_and_windows_write_it(tmp_path, mark):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'a.pth').write_text('')
    (row,) = read(tmp_path, f'target{mark}seed\nsub\\a.pth{mark}1\n')
    assert (row.inputs.target, row.settings.seed) == (str(tmp_path / 'sub' / 'a.pth'), 1)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('target\n', 'found no rows, expected one audit per line'),
        ('name\na\n', "found the columns 'name' without target"),
        (
            'target,sead\na,1\n',
            "unknown columns 'sead', expected name or options of an audit: member",
        ),
        ('target,out\na,b\n', "unknown columns 'out'"),
        ('target,target\na,b\n', "found the column 'target' twice"),
        ('target,seed\na,1,2\n', 'line 2: found more values than the 2 columns'),
        ('target,seed\na,x\n', "line 2: seed: found 'x', expected a whole number"),
        ('target,skip_bad\na,perhaps\n', "line 2: skip_bad: found 'perhaps', expected true or"),
        ('target,batch_size\na,-1\n', 'line 2: batch_size: found -1, expected 1 or more'),
        ('target,evaluator\na,b\n', 'line 2: evaluator: needs a generator'),
        ('target,steps\na,3\n', 'line 2: steps: needs a generator'),
        ('target,generator\na,g\n', 'line 2: evaluator: found none'),
        ('target,name\n,b\n', 'line 2: target: found an empty cell'),
        ('target\nx/a.pt\ny/A.pth\n', "line 3: name: found 'A', which is also the name in line 2"),
        ('target,name\na,../b\n', "line 2: name: found '../b', expected the name of a folder"),
        (
            'target,name\na,comparison.csv\n',
            "found 'comparison.csv', which is a file of the batch itself",
        ),
        ('target,seed\na,x\nb,1\nc,y\n', "line 4: seed: found 'y'"),
        ('target,name\na,Scores\n', "line 2: name: found 'Scores'"),
        ('target,name\n' + 'a,b\n' * 30, '; and 9 more lines'),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, text, words):
    with pytest.raises(errors.InputError) as caught:
        read(tmp_path, text)
    assert caught.value.field == 'targets'
    assert words in str(caught.value)
    assert caught.value.inside.startswith(f'{tmp_path}/table.csv')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('given', 'field'),
    [({'steps': 3}, 'steps'), ({'evaluator': 'e'}, 'evaluator'), ({'batch_size': 0}, 'batch_size')],
)
def test_a_flag_that_no_row_uses_is_refused(tmp_path, given, field):
    with pytest.raises(errors.InputError) as caught:
        read(tmp_path, 'target\na\n', **given)
    assert caught.value.field == field
