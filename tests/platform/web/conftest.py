"""What tests of the web server have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.conftest import Platform
from tests.platform.web.caller import Caller


@pytest.fixture
async def caller(platform: Platform) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {platform.token}"}) as session:
        yield Caller(platform, session)
