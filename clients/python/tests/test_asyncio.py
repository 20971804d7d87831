"""The client of asyncio."""

from __future__ import annotations

import asyncio

import muster
import pytest
from conftest import LocalCluster, numbers
from muster import DriverState


async def test_many_drivers_at_a_time(shared: LocalCluster) -> None:
    client = muster.AsyncClient(shared.address)

    async def code(number: int) -> int | None:
        driver = await client.submit(["/bin/sh", "-c", f"exit {number}"], memory="64M")
        return (await client.wait(driver.id)).exit_code

    assert await asyncio.gather(*map(code, range(20))) == list(range(20))


async def test_a_wait_is_cancelled_and_the_driver_goes_on(shared: LocalCluster) -> None:
    client = muster.AsyncClient(shared.address)
    driver = await client.submit(["/bin/sleep", "3600"])
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.wait(driver.id), 0.2)
    assert not (await client.driver(driver.id)).state.is_terminal
    await client.kill(driver.id)
    assert (await client.wait(driver.id)).state is DriverState.KILLED


async def test_events_logs_and_lists_are_iterated(shared: LocalCluster) -> None:
    client = muster.AsyncClient(shared.address)
    watch = await client.watch()
    driver = await client.submit(["/bin/echo", "hello"], labels={"batch": "asyncio"})
    async for event in watch:
        if event.id == driver.id and event.state == "FINISHED":
            break
    assert [piece async for piece in client.logs(driver.id)] == [b"hello\n"]
    assert [found.id async for found in client.drivers("labels.batch=asyncio")] == [driver.id]


async def test_an_application_of_asyncio(shared: LocalCluster) -> None:
    client = muster.AsyncClient(shared.address)
    async with await muster.AsyncApplication.register(client, ["/bin/sleep", "3600"], executors=2) as application:
        running: set[int] = set()
        async for item in application.events():
            running |= numbers(item, "running")
            if len(running) == 2:
                break
        assert set((await application.kill(sorted(running))).values()) == {"killed"}
