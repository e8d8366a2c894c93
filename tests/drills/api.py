"""A real ``pictrawl serve --no-worker``, and a client of its API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.drills.fleet import Process
from tests.drills.lab import Scene, until
from tests.services import free_port

__all__ = ["Api"]


class Api:
    """One server, which restarts on the same port, and its client."""

    def __init__(self, scene: Scene, client: httpx.AsyncClient, process: Process) -> None:
        self._scene = scene
        self._client = client
        self.process = process

    @classmethod
    @asynccontextmanager
    async def serving(cls, scene: Scene, *, mutants: Sequence[str] = ()) -> AsyncIterator["Api"]:
        """Start a server and wait until it answers."""
        port = free_port()
        process = scene.fleet.start("api", "pictrawl", ["serve", "--no-worker", "--port", str(port)], mutants=mutants)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            api = cls(scene, client, process)
            await until(api._answers)
            yield api

    async def again(self, *, mutants: Sequence[str] = ()) -> None:
        """Start it again after it died."""
        self.process = self._scene.fleet.again(self.process, mutants=mutants)
        await until(self._answers)

    async def status(self, path: str) -> int:
        """The status code of a GET."""
        return (await self._client.get(path)).status_code

    async def submit(self, urls: list[str], *, key: str) -> str:
        """Submit URLs and return the job's id. Raises ``httpx.TransportError`` if no answer comes."""
        body = {"urls": urls, "validation_level": "basic", "dedupe": "exact", "export_format": "files"}
        answer = await self._client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
        job_id = str(answer.json()["id"])
        self._scene.submitted[job_id] = urls
        return job_id

    async def steer(self, job_id: str, desired: str) -> httpx.Response:
        """Set a job's desired state."""
        return await self._client.patch(f"/v1/jobs/{job_id}", json={"desired_state": desired})

    async def delete(self, dataset_id: str) -> httpx.Response:
        """Delete a dataset."""
        return await self._client.delete(f"/v1/datasets/{dataset_id}")

    async def _answers(self) -> Any:
        try:
            return await self.status("/healthz") == 200
        except httpx.TransportError:
            return False
