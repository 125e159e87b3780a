"""Waiting for what becomes true."""

import time

# How often the time that a test grants is granted: a machine that is busy with others does all more slowly, and
# who succeeds waits no longer for it.
PATIENCE = 4


def eventually(look, *, within=30.0, every=0.1, what=None):
    """Calls `look` until it answers something true, and returns that.

    An AssertionError in `look` counts as "not yet", and so do the IndexError of a list that is still empty and the
    OSError of a connection that nobody takes yet; it is what the test fails with at the end. `within` is in seconds
    of an idle machine.
    """
    end = time.monotonic() + PATIENCE * within
    last = None
    while True:
        try:
            found = look()
            if found:
                return found
            last = None
        except (AssertionError, IndexError, OSError) as error:
            last = error
            found = None
        if time.monotonic() > end:
            if last is not None:
                raise last
            told = what or getattr(look, "__name__", "it")
            raise AssertionError(f"{told}: not within {PATIENCE * within:g} s; the last look gave {found!r}")
        time.sleep(every)


def stays(look, *, during=2.0, every=0.1, what=None):
    """Calls `look` for a while and fails as soon as it answers something false."""
    end = time.monotonic() + during
    while time.monotonic() < end:
        found = look()
        assert found, f"{what or 'it'} did not stay true: {found!r}"
        time.sleep(every)
