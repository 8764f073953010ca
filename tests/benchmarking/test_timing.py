"""Timing: each call is awaited before the next one is timed."""

from fr_inference.benchmarking import timing


def test_no_call_is_left_running_while_the_next_is_timed(monkeypatch):
    class Running:
        def block_until_ready(self):
            running.remove(self)
            return self

    def call():
        assert not running
        running.append(Running())
        return running[-1]

    running = []
    monkeypatch.setattr(timing, '_PAUSE', 0)
    seconds = timing.interleaved({'a': call, 'b': call}, 3)
    assert {label: len(values) for label, values in seconds.items()} == {'a': 3, 'b': 3}
