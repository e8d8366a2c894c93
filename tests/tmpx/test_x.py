import asyncio, subprocess, time
from app.db import schema
async def test_db(any_database):
    assert await schema.current(any_database) == schema.head()
async def test_db2(any_database):
    await any_database.ping()
async def test_redis(redis_url):
    assert redis_url
async def test_leak_task():
    asyncio.create_task(asyncio.sleep(100))
def test_leak_child():
    subprocess.Popen(["sleep","30"])
def test_settings(settings):
    assert settings.fetch.ports == ()
