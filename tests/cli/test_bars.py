"""Progress bars: one a label, on process 0 only, gone when their work is."""

from fr_inference.cli import bars


def test_progress(capsys):
    for done in (1, 3, 4):
        bars.progress('scoring', done, 4, loss=0.12345678)
    bars.progress('training', 1, 2)
    shown = capsys.readouterr().err
    assert 'scoring: 100%' in shown
    assert '4/4' in shown
    assert 'loss=0.1235' in shown
    # Finished, it is forgotten: the same label may come again.
    bars.progress('scoring', 1, 1)
    assert 'scoring: 100%' in capsys.readouterr().err
    bars.progress('training', 2, 2)
    assert not bars._BARS


def test_progress_only_on_process_0(capsys, monkeypatch):
    monkeypatch.setattr('jax.process_index', lambda: 1)
    bars.progress('scoring', 1, 1)
    assert capsys.readouterr() == ('', '')


def test_bars_of_abandoned_work_go(capsys):
    bars.progress('1 first: scoring', 1, 4, keep=False)
    bars.progress('2 second: scoring', 1, 4, keep=False)
    bars.drop('1 first: ')
    assert list(bars._BARS) == ['2 second: scoring']
    bars.say('a line\x1b[2J')
    bars.drop('2 second: ')
    assert not bars._BARS
    assert capsys.readouterr().out == 'a line\\x1b[2J\n'
