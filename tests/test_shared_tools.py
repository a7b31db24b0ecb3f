"""Locks, queues, pools and other tools that processes share, as proxies: what uactor's typeids and managers do.

They live in a host with a thread for each caller, or at home in a server with one; the owner, a worker and a third
process use them. Long because all kinds of tools are tried in the same processes, which are started once for this file.
"""

from __future__ import annotations

import array
import contextlib
import multiprocessing.pool
import multiprocessing.sharedctypes
import queue
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.managers import Namespace, Value
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import get, is_proxy, submit, using
from kennel import error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Worker:
    """Uses what it is given, in a process of its own."""

    def __init__(self) -> None:
        self.held: Any = None

    def use(self, play: Callable[..., Any], *things: Any) -> Any:
        return play(*things)

    def use_in_thread(self, play: Callable[..., Any], *things: Any) -> Any:
        """The same in a thread that belongs to no call."""
        given: list[Any] = []
        thread = threading.Thread(target=lambda: given.append(play(*things)))
        thread.start()
        thread.join()
        return given[0]

    def hold(self, thing: Any) -> None:
        self.held = thing

    def use_held(self, play: Callable[[Any], Any]) -> Any:
        return play(self.held)


@pytest.fixture(scope="module")
def tools() -> Iterator[elsewhere.Host]:
    """Where the tools live."""
    with elsewhere.Host(name="tools", concurrency="caller") as host:
        yield host


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[Worker, Worker]]:
    with elsewhere.Host() as first, elsewhere.Host() as second:
        yield first.spawn(Worker), second.spawn(Worker)


@pytest.fixture(autouse=True, scope="module")
def _started(tools, workers) -> None:
    """Before the test, whose leftovers are counted."""


@pytest.fixture
def worker(workers) -> Worker:
    return workers[0]


@pytest.fixture
def other(workers) -> Worker:
    return workers[1]


LOCKS = [threading.Lock, threading.RLock, threading.Semaphore, threading.BoundedSemaphore, threading.Condition]


def try_it(lock: Any) -> bool:
    """Whether the lock can be taken now; it is given back."""
    is_taken = lock.acquire(False)
    if is_taken:
        lock.release()
    return is_taken


def try_for(lock: Any, seconds: float) -> bool:
    return lock.acquire(timeout=seconds)


def work_inside(lock: Any, log: Any, name: str) -> None:
    for _ in range(5):
        with lock:
            log.append((name, "in"))
            log.append((name, "out"))


@pytest.mark.parametrize("kind", LOCKS)
def test_lock_that_one_process_holds_no_other_gets(tools, worker, other, kind) -> None:
    lock = tools.spawn(kind)

    assert worker.use(try_it, lock)
    with lock:
        assert not worker.use(try_it, lock)
        assert not other.use(try_for, lock, 0.01)
    assert other.use(try_it, lock)


@pytest.mark.parametrize("kind", LOCKS)
def test_processes_are_inside_of_a_lock_one_at_a_time(tools, worker, other, kind) -> None:
    lock, log = tools.spawn(kind), tools.spawn(list)

    inside = [submit(worker.use, work_inside, lock, log, "a"), submit(other.use, work_inside, lock, log, "b")]
    work_inside(lock, log, "here")
    for call in inside:
        call.result()

    entries = get(log)
    assert len(entries) == 30
    assert all(first[0] == second[0] for first, second in zip(entries[::2], entries[1::2], strict=True))


def test_processes_that_nobody_waits_for_do_not_hold_each_other_up(tools, worker, other) -> None:
    lock, log = tools.spawn(threading.Lock), tools.spawn(list)
    done = threading.Semaphore(0)

    for name, each in (("a", worker), ("b", other)):
        call = submit(each.use, work_inside, lock, log, name)
        call.add_done_callback(lambda _: done.release())
    for _ in range(2):
        done.acquire()

    assert len(get(log)) == 20


def acquire(lock: Any) -> bool:
    return lock.acquire(False)


def release(lock: Any) -> None:
    lock.release()


def test_lock_is_given_back_by_another_process_than_took_it(tools, worker, other) -> None:
    lock = tools.spawn(threading.Lock)

    assert worker.use(acquire, lock)
    other.use(release, lock)

    assert lock.acquire(False)


def test_recursive_lock_belongs_to_the_thread_of_the_process_that_took_it(tools, worker, other) -> None:
    lock = tools.spawn(threading.RLock)
    worker.use(acquire, lock)

    assert worker.use(acquire, lock)
    assert not other.use(acquire, lock)
    assert not lock.acquire(False)
    assert not worker.use_in_thread(acquire, lock)
    with pytest.raises(RuntimeError, match="un-acquired"):
        other.use(release, lock)
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()

    worker.use(release, lock)
    assert not lock.acquire(False)
    worker.use(release, lock)
    assert lock.acquire(False)


def test_bounded_semaphore_is_not_given_back_too_often(tools, worker) -> None:
    semaphore = tools.spawn(threading.BoundedSemaphore, 2)
    assert worker.use(acquire, semaphore)
    assert semaphore.acquire(False)
    assert not semaphore.acquire(False)

    semaphore.release()
    worker.use(release, semaphore)

    with pytest.raises(ValueError, match="released too many times"):
        worker.use(release, semaphore)


def test_lock_is_a_context_that_using_closes(tools) -> None:
    lock = tools.spawn(threading.Lock)
    same = elsewhere.ref(lock)

    with using(lock):
        assert same.locked()

    assert isinstance(error_of(lock.locked), elsewhere.ObjectGone)


def test_error_inside_of_a_lock_is_raised_and_the_lock_given_back(tools) -> None:
    lock = tools.spawn(threading.Lock)

    with pytest.raises(ZeroDivisionError), lock:
        1 / 0

    assert not lock.locked()


def wait_for(event: Any) -> bool:
    return event.wait(10)


def test_event_is_waited_for_by_two_processes_and_set_by_a_third(tools, worker, other) -> None:
    event = tools.spawn(threading.Event)
    waiting = [submit(each.use, wait_for, event) for each in (worker, other)]
    assert not event.wait(0.01)

    event.set()

    assert [call.result() for call in waiting] == [True, True]
    event.clear()
    assert not event.is_set()


def set_it(event: Any) -> None:
    event.set()


def test_event_that_the_owner_waits_for_is_set_by_a_worker(tools, worker) -> None:
    event = tools.spawn(threading.Event)

    call = submit(worker.use, set_it, event)

    assert event.wait(10)
    call.result()


def notify(condition: Any, state: Any) -> None:
    with condition:
        state["ready"] = True
        condition.notify_all()


def wait_until_ready(condition: Any, state: Any) -> bool:
    with condition:
        while not state.get("ready"):
            condition.wait(10)
        return condition.wait_for(lambda: state.get("ready"), 10)


def test_condition_is_waited_for_with_a_predicate_of_ones_own(tools, worker, other) -> None:
    condition, state = tools.spawn(threading.Condition), tools.spawn(dict)
    waiting = submit(worker.use, wait_until_ready, condition, state)

    call = submit(other.use, notify, condition, state)
    with condition:
        assert condition.wait_for(lambda: state.get("ready"), 10)

    assert waiting.result()
    call.result()


def test_condition_times_out_and_demands_its_lock(tools) -> None:
    condition = tools.spawn(threading.Condition)

    with pytest.raises(RuntimeError, match="un-acquired lock"):
        condition.notify()
    with condition:
        assert not condition.wait(0.01)
        assert condition.wait_for(lambda: False, 0.01) is False


def meet(barrier: Any) -> int:
    return barrier.wait(10)


def test_three_processes_meet_at_a_barrier(tools, worker, other) -> None:
    barrier = tools.spawn(threading.Barrier, 3)
    meeting = [submit(each.use, meet, barrier) for each in (worker, other)]

    places = {barrier.wait(10), *(call.result() for call in meeting)}

    assert places == {0, 1, 2}
    assert (get(barrier.parties), get(barrier.n_waiting), get(barrier.broken)) == (3, 0, False)


def test_barrier_is_broken_for_everybody(tools, worker) -> None:
    barrier = tools.spawn(threading.Barrier, 2)
    meeting = submit(worker.use, meet, barrier)
    while not get(barrier.n_waiting):
        pass

    barrier.abort()

    with pytest.raises(threading.BrokenBarrierError):
        meeting.result()
    barrier.reset()
    assert not get(barrier.broken)


QUEUES = [queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue]


def put(things: Any, *items: Any) -> None:
    for item in items:
        things.put(item)


def take(things: Any, count: int) -> list[Any]:
    return [things.get(timeout=10) for _ in range(count)]


@pytest.mark.parametrize("kind", QUEUES)
def test_queue_is_filled_by_one_process_and_emptied_by_two(tools, worker, other, kind) -> None:
    things = tools.spawn(kind)
    taking = submit(worker.use, take, things, 2)  # which waits

    other.use(put, things, 1, 2, 3)

    assert sorted([*taking.result(), things.get()]) == [1, 2, 3]
    assert things.empty()
    assert things.qsize() == 0


@pytest.mark.parametrize("kind", QUEUES)
def test_queue_that_stays_empty_says_so_in_time(tools, worker, kind) -> None:
    things = tools.spawn(kind)

    for play in (lambda: things.get_nowait(), lambda: things.get(timeout=0.01), lambda: things.get(False)):
        with pytest.raises(queue.Empty):
            play()
    with pytest.raises(queue.Empty):
        worker.use(get_at_once, things)


def get_at_once(things: Any) -> Any:
    return things.get_nowait()


def test_queue_that_is_full_says_so_in_time(tools) -> None:
    things = tools.spawn(queue.Queue, 1)
    things.put(1)

    assert things.full()
    for play in (lambda: things.put_nowait(2), lambda: things.put(2, timeout=0.01)):
        with pytest.raises(queue.Full):
            play()


def do_tasks(things: Any, count: int) -> None:
    for _ in range(count):
        things.get()
        things.task_done()


def test_queue_is_joined_when_its_tasks_are_done(tools, worker) -> None:
    things = tools.spawn(queue.Queue)
    put(things, 1, 2)
    doing = submit(worker.use, do_tasks, things, 2)

    things.join()

    doing.result()
    with pytest.raises(ValueError, match="too many times"):
        things.task_done()


def double(number: int) -> int:
    return 2 * number


def add(first: int, second: int) -> int:
    return first + second


def use_pool(pool: Any) -> dict[str, Any]:
    """What a pool does, also in a process that it does not live in."""
    later = pool.apply_async(double, (21,))
    return {
        "apply": pool.apply(double, (4,)),
        "map": pool.map(double, [1, 2]),
        "starmap": pool.starmap(add, [(1, 2), (3, 4)]),
        "imap": list(pool.imap(double, [1, 2])),
        "imap_unordered": sorted(pool.imap_unordered(double, [1, 2])),
        "map_async": pool.map_async(double, [5]).get(10),
        "starmap_async": pool.starmap_async(add, [(5, 6)]).get(timeout=10),
        "later": (elsewhere.is_proxy(later), later.get(10), later.ready(), later.successful(), later.wait(1)),
    }


@pytest.mark.parametrize("where", ["here", "in a worker"])
def test_pool_gives_results_iterators_and_results_to_come(tools, worker, where) -> None:
    pool = tools.spawn(multiprocessing.pool.ThreadPool, 2)

    answers = use_pool(pool) if where == "here" else worker.use(use_pool, pool)

    assert answers == {
        "apply": 8,
        "map": [2, 4],
        "starmap": [3, 7],
        "imap": [2, 4],
        "imap_unordered": [2, 4],
        "map_async": [10],
        "starmap_async": [11],
        "later": (True, 42, True, True, None),
    }
    pool.close()
    pool.join()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))


def fail() -> None:
    raise LookupError("over there")


def test_result_to_come_raises_what_was_raised_and_times_out(tools) -> None:
    event = tools.spawn(threading.Event)
    with tools.spawn(multiprocessing.pool.ThreadPool, 2) as pool:
        failed, waiting = pool.apply_async(fail), pool.apply_async(wait_for, (event,))

        with pytest.raises(LookupError, match="over there"):
            failed.get(10)
        with pytest.raises(multiprocessing.TimeoutError):
            waiting.get(0.01)
        assert not waiting.ready()
        with pytest.raises(ValueError, match="not ready"):
            waiting.successful()
        event.set()
        assert waiting.get(10)


@pytest.mark.parametrize("kind", [types.SimpleNamespace, Namespace])
def test_namespace_is_read_set_and_deleted_by_all(tools, worker, kind) -> None:
    space = tools.spawn(kind, x=1)

    worker.use(set_attribute, space, "y", 2)
    space.x += 1
    del space.y

    assert get(space.x) == 2
    assert get(space.y, default=None) is None


def set_attribute(thing: Any, name: str, value: Any) -> None:
    setattr(thing, name, value)


def increase(value: Any) -> None:
    value.value += 1


def test_value_is_read_and_set_by_all(tools, worker) -> None:
    value = tools.spawn(Value, "i", 1)

    worker.use(increase, value)
    value.set(value.get() + 1)

    assert get(value.value) == 3


def test_value_in_shared_memory_stays_where_it_is(tools, worker) -> None:
    value = tools.spawn(make_shared_value)

    worker.use(increase, value)

    with value.get_lock():
        assert get(value.value) == 6


def make_shared_value() -> Any:
    return multiprocessing.sharedctypes.Value("i", 5)


def test_array_is_changed_in_place_by_all(tools, worker) -> None:
    numbers = tools.spawn(array.array, "i", [1, 2, 3])

    worker.use(set_item, numbers, 0, 9)
    numbers.append(4)

    assert get(numbers) == array.array("i", [9, 2, 3, 4])
    assert (len(numbers), get(numbers[1:3]).tolist(), numbers.pop()) == (4, [2, 3], 4)


def set_item(things: Any, key: Any, value: Any) -> None:
    things[key] = value


def change_list(things: Any) -> None:
    things += [5, 3]
    things.extend([1])
    things.insert(0, 7)
    things.remove(3)
    things.sort()
    things.reverse()
    del things[0]
    things[1:2] = [8, 9]
    things *= 2


def test_list_has_all_its_mutators(tools, worker) -> None:
    here, there, local = tools.spawn(list), tools.spawn(list), []

    for change in (change_list, lambda _: change_list(local)):
        change(here)
    worker.use(change_list, there)

    assert get(here) == get(there) == local
    assert (here.pop(), here.count(9), here.index(8), 9 in here) == (9, 1, 1, True)
    assert ([*here, 1], here * 0, len(here)) == ([*local[:-1], 1], [], len(local) - 1)
    here.clear()
    assert not here


def change_dict(things: Any) -> None:
    things["a"] = 1
    things.update(b=2, c=3)
    things.setdefault("d", []).append(4)
    things |= {"e": 5}
    del things["a"]
    things.pop("b")


def test_dict_has_all_its_mutators(tools, worker) -> None:
    here, there = tools.spawn(dict), tools.spawn(dict)

    change_dict(here)
    worker.use(change_dict, there)

    assert get(here) == get(there) == {"c": 3, "d": [], "e": 5}  # what setdefault gives is a copy
    assert sorted(here) == sorted(here.keys()) == ["c", "d", "e"]
    assert here.get("x", 9) == 9
    assert ("c", 3) in here.items()
    assert next(iter(here.values())) == 3
    assert here.popitem() == ("e", 5)


def echo() -> Iterator[str]:
    said = "start"
    with contextlib.suppress(GeneratorExit):
        while True:
            try:
                said = yield said
            except KeyError:
                said = "caught"


def play_with(items: Any) -> list[Any]:
    return [next(items), items.send("a"), items.throw(KeyError("b")), items.close()]


def test_generator_is_sent_to_thrown_into_and_closed(tools, worker) -> None:
    assert play_with(tools.run(echo)) == ["start", "a", "caught", None]
    assert worker.use(play_with, tools.run(echo)) == ["start", "a", "caught", None]


def test_iterator_is_shared_by_processes(tools, worker, other) -> None:
    numbers = tools.run(iter, [1, 2, 3])

    taken = [next(numbers), worker.use(next, numbers), other.use(next, numbers)]

    assert taken == [1, 2, 3]
    with pytest.raises(StopIteration):
        next(numbers)


def test_recursive_lock_of_a_thread_that_has_ended_stays_as_it_was(tools, worker) -> None:
    lock = tools.spawn(threading.RLock)

    assert worker.use_in_thread(acquire, lock)

    assert not worker.use_in_thread(acquire, lock)
    assert not lock.acquire(False)


def count_threads() -> int:
    return threading.active_count()


def test_threads_of_callers_that_have_ended_end_with_them(tools, worker) -> None:
    lock = tools.spawn(threading.Lock)
    before = tools.run(count_threads)

    for _ in range(5):
        assert worker.use_in_thread(try_it, lock)

    while tools.run(count_threads) > before + 1:
        pass


def test_worker_that_dies_holding_a_lock_leaves_it_locked(tools) -> None:
    lock = tools.spawn(threading.Lock)
    with elsewhere.Host() as host:
        assert host.spawn(Worker).use(acquire, lock)
        host.kill()

    assert not lock.acquire(timeout=0.01)
    lock.release()
    assert lock.acquire(False)


def test_worker_that_dies_waiting_holds_up_nobody_else(tools, worker) -> None:
    event, things = tools.spawn(threading.Event), tools.spawn(queue.Queue)
    with elsewhere.Host() as host:
        waiting = submit(host.spawn(Worker).use, wait_after, event, things)
        assert things.get(timeout=10) == "begun"
        host.kill()
        assert isinstance(error_of(waiting.result), elsewhere.HostDied)

    assert not worker.use(is_set, event)
    event.set()


def wait_after(event: Any, things: Any) -> None:
    things.put("begun")
    event.wait(10)


def is_set(event: Any) -> bool:
    return event.is_set()


def test_tools_that_are_gone_end_the_wait_of_every_process(worker) -> None:
    with elsewhere.Host(concurrency="caller") as host:
        event, things = host.spawn(threading.Event), host.spawn(queue.Queue)
        waiting = submit(worker.use, wait_after, event, things)
        assert things.get(timeout=10) == "begun"

        host.kill()

        assert isinstance(error_of(waiting.result), elsewhere.HostDied)


def test_wait_is_given_up_at_the_deadline_of_the_caller(tools, worker) -> None:
    event = tools.spawn(threading.Event)

    with pytest.raises(elsewhere.CallTimeout), elsewhere.deadline(0.05):
        worker.use(wait_for, event)
    event.set()

    assert worker.use(wait_for, event)


class Home:
    """Everything at home, served."""

    def __init__(self) -> None:
        self.lock, self.recursive = threading.Lock(), threading.RLock()
        self.event, self.condition = threading.Event(), threading.Condition()
        self.jobs: queue.Queue[Any] = queue.Queue()
        self.state: dict[str, Any] = {}


def visit_and(address: Any, play: Callable[..., Any], *args: Any) -> Any:
    return play(elsewhere.connect(address), *args)


def try_both(home: Any) -> tuple[bool, bool]:
    return home.lock.acquire(timeout=0.01), home.recursive.acquire(False)


def take_job(home: Any) -> Any:
    return home.jobs.get(timeout=10)


def test_tools_at_home_are_served_to_several_processes(worker, other) -> None:
    home = Home()
    with elsewhere.serve(home, concurrency="caller") as server:
        with home.lock, home.recursive:
            assert worker.use_in_thread(visit_and, server.address, try_both) == (False, False)
        taking = [submit(each.use, visit_and, server.address, take_job) for each in (worker, other)]
        home.jobs.put("a")
        home.jobs.put("b")
        assert {call.result() for call in taking} == {"a", "b"}


def test_condition_at_home_is_notified_by_another_process(worker) -> None:
    home = Home()
    with elsewhere.serve(home, concurrency="caller") as server:
        call = submit(worker.use, visit_and, server.address, lambda home: notify(home.condition, home.state))
        with home.condition:
            assert home.condition.wait_for(lambda: home.state.get("ready"), 10)
        call.result()


def test_three_processes_hold_one_lock_and_two_proxies_of_it_are_one(tools, worker, other) -> None:
    lock = tools.spawn(threading.Lock)
    worker.hold(lock)
    other.hold(lock)

    assert worker.use_held(lambda held: held.acquire(False))
    assert other.use_held(lambda held: held.locked())
    assert worker.use(lambda held, given: held == given and hash(held) == hash(given), lock, lock)
    assert is_proxy(lock)


def test_many_threads_of_two_processes_take_turns(tools, worker, other) -> None:
    lock, tally = tools.spawn(threading.RLock), tools.spawn(types.SimpleNamespace, count=0)

    calls = [submit(each.use, count_in_threads, lock, tally) for each in (worker, other)]
    with ThreadPoolExecutor(2) as pool:
        own = [pool.submit(count, lock, tally) for _ in range(2)]
    for call in (*own, *calls):
        call.result()

    assert get(tally.count) == 30


def count(lock: Any, tally: Any) -> None:
    for _ in range(5):
        with lock, lock:
            tally.count += 1


def count_in_threads(lock: Any, tally: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        for call in [pool.submit(count, lock, tally) for _ in range(2)]:
            call.result()
