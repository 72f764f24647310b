"""What is kept is bounded in bytes, and what was not asked for longest goes first."""

from __future__ import annotations

from zfcuda.live.store import Store


def test_what_was_not_asked_for_longest_goes_first() -> None:
    store = Store(10)
    store.put("a", 1, 4)
    store.put("b", 2, 4)
    assert store.get("a") == 1
    store.put("c", 3, 4)
    assert (store.get("a"), store.get("b"), store.get("c")) == (1, None, 3) and store.bytes == 8


def test_the_newest_stays_even_where_it_is_too_large() -> None:
    store = Store(10)
    store.put("a", 1, 4)
    store.put("b", 2, 40)
    assert len(store) == 1 and store.get("b") == 2 and store.bytes == 40
    store.put("b", 3, 4)
    assert store.bytes == 4 and store.get("b") == 3


def test_forgetting() -> None:
    store = Store(10)
    store.put(("a", 1), 1, 4)
    store.put(("b", 1), 2, 4)
    store.forget(lambda key: key[0] == "a")
    assert store.get(("a", 1)) is None and store.get(("b", 1)) == 2 and store.bytes == 4
