"""Misuses of every verb that types can tell: the type checkers refuse each marked line, and no other.

A mark names the rule of mypy and the rule of pyright that refuse the line, so that it is for no other reason.
`tests/test_typing.py` reads the marks and runs both checkers; nothing here is ever run.
"""

import concurrent.futures
from typing import Any

from tests.typing.objects import Box, Dog, Plain, adopt, names, score, score_later

import elsewhere
from elsewhere import (
    Future,
    Host,
    HostDied,
    attribute,
    by_reference,
    close,
    connect,
    deadline,
    futures,
    get,
    host_of,
    is_proxy,
    lazy,
    options,
    post,
    ref,
    reserve,
    send,
    serve,
    shared_array,
    shared_memory,
    spawn,
    stream,
    submit,
    using,
)


def spawning() -> None:
    spawn()  # refused: call-overload, reportCallIssue
    spawn(Dog)  # refused: call-overload, reportCallIssue
    spawn(Dog, 5)  # refused: call-overload, reportCallIssue
    spawn(Dog, "rex", 3, 4)  # refused: call-overload, reportCallIssue
    spawn(Dog, "rex", colour="red")  # refused: call-arg, reportCallIssue
    spawn(Dog, "rex", age="old")  # refused: arg-type, reportCallIssue
    spawn(Dog("rex"))  # refused: call-overload, reportCallIssue
    spawn(5)  # refused: call-overload, reportCallIssue
    spawn("Dog", "rex")  # refused: call-overload, reportCallIssue
    spawn(cls=Dog, name="rex")  # refused: call-overload, reportCallIssue
    spawn(Box[int], "text")  # refused: call-overload, reportCallIssue
    spawn(adopt, 5)  # refused: call-overload, reportCallIssue
    spawn(Dog, "rex").meow()  # refused: attr-defined, reportAttributeAccessIssue
    cat: Plain = spawn(Dog, "rex")  # refused: assignment, reportAssignmentType
    print(cat)


def sharing() -> None:
    shared_array()  # refused: call-arg, reportCallIssue
    shared_array("five")  # refused: arg-type, reportArgumentType
    shared_memory("five")  # refused: arg-type, reportArgumentType
    shared_memory(nbytes=5)  # refused: call-arg, reportCallIssue


def sending() -> None:
    send()  # refused: call-arg, reportCallIssue
    send(Dog, "rex")  # refused: call-arg, reportCallIssue
    send(obj=Dog("rex"))  # refused: call-arg, reportCallIssue
    send(Dog("rex")).meow()  # refused: attr-defined, reportAttributeAccessIssue
    send([1]).append("x")  # refused: arg-type, reportArgumentType


def making_hosts() -> None:
    Host("exec")  # refused: call-arg, reportCallIssue
    Host(colour="red")  # refused: call-arg, reportCallIssue
    Host(start="teleport")  # refused: arg-type, reportArgumentType
    Host(name=5)  # refused: arg-type, reportArgumentType
    Host(env={"A": 5})  # refused: dict-item, reportArgumentType
    Host(env=["A=b"])  # refused: arg-type, reportArgumentType
    Host(cwd=5)  # refused: arg-type, reportArgumentType
    Host(path=5)  # refused: arg-type, reportArgumentType
    Host(preload=[5])  # refused: list-item, reportArgumentType
    Host(start_timeout="long")  # refused: arg-type, reportArgumentType
    Host(start="local", copy="no")  # refused: arg-type, reportArgumentType
    Host(start="fork", inherit=5)  # refused: arg-type, reportArgumentType
    Host(output="teleport")  # refused: arg-type, reportArgumentType
    Host(logging="home")  # refused: arg-type, reportArgumentType
    Host(start_timeout=None)  # refused: arg-type, reportArgumentType


def objects_of_hosts(host: Host, dog: Dog) -> None:
    host.spawn(Dog)  # refused: call-overload, reportCallIssue
    host.spawn(Dog, 5)  # refused: call-overload, reportCallIssue
    host.spawn(5)  # refused: call-overload, reportCallIssue
    host.spawn(adopt)  # refused: call-overload, reportCallIssue
    host.spawn(cls=Dog)  # refused: call-overload, reportCallIssue
    host.send()  # refused: call-arg, reportCallIssue
    host.send(Dog, "rex")  # refused: call-arg, reportCallIssue
    host.run(score, dog)  # refused: call-overload, reportCallIssue
    host.run(score, dog, "two")  # refused: call-overload, reportCallIssue
    host.run(score_later)  # refused: call-overload, reportCallIssue
    host.run(dog.age)  # refused: call-overload, reportCallIssue
    host.run(function=score_later)  # refused: call-overload, reportCallIssue
    host.module()  # refused: call-arg, reportCallIssue
    host.module(5)  # refused: arg-type, reportArgumentType
    host.module("json", path=5)  # refused: arg-type, reportArgumentType
    host.script()  # refused: call-arg, reportCallIssue
    host.script(5)  # refused: arg-type, reportArgumentType
    host.script(source="a = 1")  # refused: call-arg, reportCallIssue
    number: str = host.run(score, dog, 2)  # refused: assignment, reportAssignmentType
    print(number)


def the_end_of_hosts(host: Host) -> None:
    host.close("soon")  # refused: arg-type, reportArgumentType
    host.kill(9)  # refused: call-arg, reportCallIssue
    host.wait("long")  # refused: arg-type, reportArgumentType
    host.on_death()  # refused: call-arg, reportCallIssue
    host.on_death(lambda: None)  # refused: arg-type, reportArgumentType
    host.on_death(5)  # refused: arg-type, reportArgumentType
    host.alive()  # refused: operator, reportCallIssue
    host.bark()  # refused: attr-defined, reportAttributeAccessIssue
    host.pid + 1  # refused: operator, reportOptionalOperand
    host.pid = 5  # refused: misc, reportAttributeAccessIssue
    host.exitcode = 5  # refused: misc, reportAttributeAccessIssue
    with Host:  # refused: attr-defined, reportGeneralTypeIssues
        pass


def getting(dog: Dog) -> None:
    get()  # refused: call-overload, reportCallIssue
    get(dog.colour)  # refused: attr-defined, reportAttributeAccessIssue
    get(dog.friends[0].colour)  # refused: attr-defined, reportAttributeAccessIssue
    get(dog.friends["x"])  # refused: call-overload, reportCallIssue
    get(path=dog.age)  # refused: call-overload, reportCallIssue
    get(dog.age, 5)  # refused: call-overload, reportCallIssue
    get(dog.age, fallback=5)  # refused: call-overload, reportCallIssue
    text: str = get(dog.age)  # refused: assignment, reportAssignmentType
    number: int = get(dog.age, default=None)  # refused: assignment, reportAssignmentType
    print(text, number)


def calling(dog: Dog, box: Box[int]) -> None:
    dog.meow()  # refused: attr-defined, reportAttributeAccessIssue
    dog.bark(True)  # refused: call-arg, reportCallIssue
    dog.bark(volume=3)  # refused: call-arg, reportCallIssue
    dog.age = "old"  # refused: assignment, reportAttributeAccessIssue
    dog.age += "1"  # refused: operator, reportOperatorIssue
    box.put("text")  # refused: arg-type, reportArgumentType
    answer: int = dog.bark()  # refused: assignment, reportAssignmentType
    print(answer)


def submitting(dog: Dog, box: Box[int]) -> None:
    submit()  # refused: call-overload, reportCallIssue
    submit(dog.bark, True)  # refused: call-overload, reportCallIssue
    submit(dog.bark, loud="yes")  # refused: call-overload, reportCallIssue
    submit(dog.bark, volume=3)  # refused: call-overload, reportCallIssue
    submit(dog.bark())  # refused: call-overload, reportCallIssue
    submit(dog.meow)  # refused: attr-defined, reportAttributeAccessIssue
    submit(dog.age)  # refused: call-overload, reportCallIssue
    submit(dog.open)  # refused: call-overload, reportCallIssue
    submit(dog.weigh, 5)  # refused: call-overload, reportCallIssue
    submit(dog.fetch, 5)  # refused: call-overload, reportCallIssue
    submit(dog.sniff, "three")  # refused: call-overload, reportCallIssue
    submit(dog.bark, timeout=3)  # refused: call-overload, reportCallIssue
    submit(target=dog.bark)  # refused: call-overload, reportCallIssue
    submit(box.put, "text")  # refused: call-overload, reportCallIssue
    submit(score, dog)  # refused: call-overload, reportCallIssue
    submit(score, dog, "two")  # refused: call-overload, reportCallIssue
    submit(score_later, 5)  # refused: call-overload, reportCallIssue
    submit(names, dog)  # refused: call-overload, reportCallIssue
    submit(len, 5)  # refused: call-overload, reportCallIssue
    submit(setattr, dog, 5, "x")  # refused: call-overload, reportCallIssue
    answer: Future[int] = submit(dog.bark)  # refused: call-overload, reportAssignmentType
    later: Future[int] = submit(dog.fetch, "stick")  # refused: call-overload, reportAssignmentType
    print(answer, later)


def posting(dog: Dog) -> None:
    post()  # refused: call-overload, reportCallIssue
    post(dog.bark, volume=3)  # refused: call-overload, reportCallIssue
    post(dog.bark())  # refused: call-overload, reportCallIssue
    post(dog.age)  # refused: call-overload, reportCallIssue
    post(score, dog, "two")  # refused: call-overload, reportArgumentType
    post(target=dog.bark)  # refused: call-overload, reportCallIssue
    answer: str = post(dog.bark)  # refused: assignment, reportAssignmentType
    print(answer)


def futures_of_calls(future: Future[str]) -> None:
    future.result("soon")  # refused: arg-type, reportArgumentType
    future.exception("soon")  # refused: arg-type, reportArgumentType
    future.cancel(True)  # refused: call-arg, reportCallIssue
    future.add_done_callback()  # refused: call-arg, reportCallIssue
    future.add_done_callback(lambda: None)  # refused: arg-type, reportArgumentType
    future.upper()  # refused: attr-defined, reportAttributeAccessIssue
    future + "x"  # refused: operator, reportOperatorIssue
    number: int = future.result()  # refused: assignment, reportAssignmentType
    other: Future[int] = future  # refused: assignment, reportAssignmentType
    plain: concurrent.futures.Future[int] = future  # refused: assignment, reportAssignmentType
    print(number, other, plain)


def streaming(dog: Dog) -> None:
    stream()  # refused: call-arg, reportCallIssue
    stream(dog.sniff)  # refused: call-arg, reportCallIssue
    stream(dog.sniff, "three")  # refused: arg-type, reportArgumentType
    stream(dog.sniff(3))  # refused: arg-type, reportCallIssue
    stream(dog.weigh, "kg")  # refused: arg-type, reportCallIssue
    stream(dog.fetch, "stick")  # refused: arg-type, reportArgumentType
    stream(dog.friends)  # refused: arg-type, reportCallIssue
    stream(score, dog, 2)  # refused: arg-type, reportArgumentType
    stream(target=dog.tracks)  # refused: call-arg, reportCallIssue
    stream(dog.tracks)[0]  # refused: index, reportIndexIssue
    len(stream(dog.tracks))  # refused: arg-type, reportArgumentType
    for hit in stream(dog.sniff, 3):
        hit.append(5)  # refused: attr-defined, reportAttributeAccessIssue


def marking(dog: Dog) -> None:
    ref()  # refused: call-arg, reportCallIssue
    ref(dog, 5)  # refused: call-arg, reportCallIssue
    ref(x=dog)  # refused: call-arg, reportCallIssue
    ref(dog).meow()  # refused: attr-defined, reportAttributeAccessIssue
    ref(dog.friends).bark()  # refused: attr-defined, reportAttributeAccessIssue
    attribute()  # refused: call-arg, reportCallIssue
    attribute(dog)  # refused: call-arg, reportCallIssue
    attribute(dog, 5)  # refused: arg-type, reportArgumentType
    attribute(dog, name="_secret")  # refused: call-arg, reportCallIssue
    attribute(dog, "_secret", None)  # refused: call-arg, reportCallIssue


def asking(dog: Dog) -> None:
    is_proxy()  # refused: call-arg, reportCallIssue
    is_proxy(dog, dog)  # refused: call-arg, reportCallIssue
    is_proxy(x=dog)  # refused: call-arg, reportCallIssue
    host_of()  # refused: call-arg, reportCallIssue
    host_of(dog, dog)  # refused: call-arg, reportCallIssue
    host_of(proxy=dog)  # refused: call-arg, reportCallIssue
    host_of(dog).bark()  # refused: attr-defined, reportAttributeAccessIssue
    text: str = is_proxy(dog)  # refused: assignment, reportAssignmentType
    print(text)


def ending(dog: Dog) -> None:
    close()  # refused: call-arg, reportCallIssue
    close(dog, 5.0)  # refused: call-arg, reportCallIssue
    close(dog, timeout="long")  # refused: arg-type, reportArgumentType
    close(dog, timeout=None)  # refused: arg-type, reportArgumentType
    close(proxy=dog)  # refused: call-arg, reportCallIssue


def with_options(dog: Dog) -> None:
    options()  # refused: call-arg, reportCallIssue
    options(dog, 5.0)  # refused: call-arg, reportCallIssue
    options(dog, patience=3)  # refused: call-arg, reportCallIssue
    options(dog, timeout="long")  # refused: arg-type, reportArgumentType
    options(dog, result="copy")  # refused: arg-type, reportArgumentType
    options(dog, result=None)  # refused: arg-type, reportArgumentType
    options(proxy=dog)  # refused: call-arg, reportCallIssue
    options(dog, timeout=3).meow()  # refused: attr-defined, reportAttributeAccessIssue


def within_deadlines() -> None:
    deadline()  # refused: call-arg, reportCallIssue
    deadline("long")  # refused: arg-type, reportArgumentType
    deadline(None)  # refused: arg-type, reportArgumentType
    deadline(seconds=2.0)  # refused: call-arg, reportCallIssue
    with deadline:  # refused: attr-defined, reportGeneralTypeIssues
        pass
    with deadline(2.0) as block:
        block.cancel()  # refused: attr-defined, reportAttributeAccessIssue


def using_objects(dog: Dog) -> None:
    using()  # refused: call-overload, reportCallIssue
    using(dog, dog)  # refused: call-overload, reportCallIssue
    using(proxy=dog)  # refused: call-overload, reportCallIssue
    using(dog).bark()  # refused: attr-defined, reportAttributeAccessIssue
    with using(dog) as same:
        same.meow()  # refused: attr-defined, reportAttributeAccessIssue
    with using:  # refused: attr-defined, reportGeneralTypeIssues
        pass


def viewing(dog: Dog) -> None:
    futures()  # refused: call-arg, reportCallIssue
    futures(dog, dog)  # refused: call-arg, reportCallIssue
    futures(proxy=dog)  # refused: call-arg, reportCallIssue
    lazy()  # refused: call-overload, reportCallIssue
    lazy(dog, dog)  # refused: call-overload, reportCallIssue
    lazy(proxy=dog)  # refused: call-overload, reportCallIssue
    lazy(dog).meow()  # refused: attr-defined, reportAttributeAccessIssue
    get(lazy(dog).bark(True))  # refused: call-arg, reportCallIssue
    text: int = get(lazy(dog).bark())  # refused: assignment, reportAssignmentType
    print(text)


def reading_errors(error: HostDied) -> None:
    error.outcome = "maybe"  # refused: assignment, reportAttributeAccessIssue
    error.colour  # refused: attr-defined, reportAttributeAccessIssue
    error.signal + 1  # refused: operator, reportOptionalOperand
    if error.outcome == "lost":  # refused: comparison-overlap, reportUnnecessaryComparison
        print("never")
    HostDied("text", outcome="maybe")  # refused: arg-type, reportArgumentType
    elsewhere.HostLost  # refused: attr-defined, reportAttributeAccessIssue


async def awaiting(dog: Dog, host: Host) -> None:
    text: str = await dog.fetch("stick")  # refused: assignment, reportAssignmentType
    await get(dog.age)  # refused: misc, reportGeneralTypeIssues
    await dog.bark()  # refused: misc, reportGeneralTypeIssues
    await submit(dog.fetch, 5)  # refused: call-overload, reportCallIssue
    await host.run(score_later, dog)  # refused: misc, reportGeneralTypeIssues
    await spawn(adopt, "rex")  # refused: misc, reportGeneralTypeIssues
    await stream(dog.sniff, 3)  # refused: misc, reportGeneralTypeIssues
    await post(dog.bark)  # refused: misc, reportGeneralTypeIssues
    dog.fetch("stick")  # refused: unused-coroutine, reportUnusedCoroutine
    async for hit in stream(dog.sniff):  # refused: call-arg, reportCallIssue
        print(hit)
    async for _ in dog.tracks():  # refused: attr-defined, reportGeneralTypeIssues
        pass
    async with deadline(2.0):  # refused: attr-defined, reportGeneralTypeIssues
        print(text)
    async with using(dog) as same:
        same.meow()  # refused: attr-defined, reportAttributeAccessIssue


def serving(dog: Dog) -> None:
    reserve(5)  # refused: arg-type, reportArgumentType
    reserve(authkey="text")  # refused: arg-type, reportArgumentType
    serve()  # refused: call-arg, reportCallIssue
    serve(dog, expose=5)  # refused: arg-type, reportArgumentType
    serve(dog, concurrency="many")  # refused: arg-type, reportArgumentType
    serve(dog, authkey="text")  # refused: arg-type, reportArgumentType
    connect()  # refused: call-overload, reportCallIssue
    connect(5)  # refused: call-overload, reportArgumentType
    connect(serve(dog).address, Dog).meow()  # refused: attr-defined, reportAttributeAccessIssue


def what_no_checker_knows(dog: Dog, host: Host) -> dict[int, bool]:
    futures(dog).meow()
    attribute(dog, "_secret").meow()
    host.module("json").meow()
    host.script("a = 1").meow()
    dog.age, dog.friends[0].age = dog.friends[0].age, dog.age
    return {dog.age: dog is dog.friends[0]}


def what_is_right(dog: Dog, host: Host, anything: Any) -> None:
    spawn(Dog, "rex")
    host.spawn(anything, 1, colour="red")
    submit(dog.bark, loud=True)
    get(dog.age, default=None)


def declaring() -> None:
    by_reference(5)  # refused: type-var, reportArgumentType
    by_reference(adopt, adopt)  # refused: call-arg, reportCallIssue
    by_reference(property(len))  # refused: type-var, reportArgumentType
    Host(returns=["bark"])  # refused: arg-type, reportArgumentType
    Host(returns={"Dog": ["bark"]})  # refused: dict-item, reportArgumentType
    serve(Dog("rex"), returns=5)  # refused: arg-type, reportArgumentType
