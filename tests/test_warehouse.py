"""Where members are kept: what is made of the clients, and how many read at once."""

from __future__ import annotations

import threading

import pytest

from lib.warehouse import Warehouse


def warehouse(log: str | None) -> Warehouse:
    return Warehouse(bigquery=lambda: None, storage=lambda: None, delivery_log=log)


def test_the_members_stand_beside_the_delivery_log() -> None:
    members, progress = warehouse("p.relay.delivery_log").members, warehouse("p.relay.delivery_log").progress
    assert members is not None
    assert progress is not None
    assert (members.table, progress.table) == ("p.relay.members", "p.relay.delivery_log")


def test_without_a_delivery_log_there_is_neither() -> None:
    assert (warehouse(None).members, warehouse(None).progress) == (None, None)


def test_two_read_at_once_and_the_third_waits_for_its_turn() -> None:
    one = warehouse(None)
    entered = threading.Event()

    def third() -> None:
        with one.turn():
            entered.set()

    with one.turn():
        with one.turn():
            waiting = threading.Thread(target=third)
            waiting.start()
            assert not entered.wait(0.1)
        assert entered.wait(5)
    waiting.join()


def test_a_turn_ends_with_whatever_happens_in_it() -> None:
    one = warehouse(None)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), one.turn():
            raise ZeroDivisionError
    with one.turn(), one.turn():
        pass
