"""Who and where we are: the login, its token, the clusters, and what the user has set."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from yarl import URL

from neuro_sdk import __version__
from neuro_sdk._oauth import Tokens, authorized_config, refreshed_tokens
from neuro_sdk._private import NoPublicConstructor
from neuro_sdk._settings import PROJECT_FILE, pinned_cluster, user_config
from neuro_sdk._store import FORMAT, Login, Store
from neuro_sdk._transport import Transport
from neuro_sdk.errors import ConfigError, IllegalArgumentError
from neuro_sdk.wire.cluster import Cluster, Preset
from neuro_sdk.wire.codec import load, replace

log = logging.getLogger(__name__)

_USER_CLAIMS = ("identity", "https://platform.neuromation.io/user")


class Config(metaclass=NoPublicConstructor):
    """``client.config``; reading it makes no request, and goes on after ``client.close()``."""

    def __init__(self, login: Login, transport: Transport, store: Store | None, folder: Path) -> None:
        self._login = login
        self._transport = transport
        self._store = store  # none when the login is the environment's
        self._folder = folder
        self._chosen_cluster: str | None = None

    @property
    def username(self) -> str:
        """Whose token it is; ``ValueError`` when it does not say so."""
        return user_of(self._login.token)

    @property
    def api_url(self) -> URL:
        """The address that was logged in to."""
        return self._login.url

    @property
    def admin_url(self) -> URL:
        return self._login.server.admin_url or self.api_url.parent.parent / "apis/admin/v1"

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """All clusters of the user, in the platform's order."""
        return MappingProxyType({cluster.name: cluster for cluster in self._login.server.clusters})

    @property
    def cluster_name(self) -> str:
        """The current cluster; a project's ``.neuro.toml`` wins. Looked up anew each time, and not checked."""
        return self._chosen_cluster or pinned_cluster() or self._login.cluster_name

    @property
    def presets(self) -> Mapping[str, Preset]:
        """The presets of the current cluster; the first is the default."""
        return MappingProxyType(dict(self._cluster.presets))

    @property
    def registry_url(self) -> URL:
        return self._cluster.registry_url

    @property
    def storage_url(self) -> URL:
        return self._cluster.storage_url

    @property
    def blob_storage_url(self) -> URL:
        return self._cluster.blob_storage_url

    @property
    def monitoring_url(self) -> URL:
        return self._cluster.monitoring_url

    @property
    def secrets_url(self) -> URL:
        return self._cluster.secrets_url

    @property
    def disk_api_url(self) -> URL:
        return self._cluster.disks_url

    def get_cluster(self, cluster_name: str) -> Cluster:
        """A cluster by name; :class:`ConfigError` (a ``RuntimeError``) when the user has no such cluster."""
        try:
            return self.clusters[cluster_name]
        except KeyError:
            raise ConfigError(
                f"Cluster {cluster_name} doesn't exist in the list of your clusters "
                f"({', '.join(self.clusters) or 'none'}){_named_by_project(cluster_name)}"
            ) from None

    async def token(self) -> str:
        """A bearer token that is good now; a new one is asked for when it has expired.

        Of all the processes that find the same token expired one asks, the others take what it got.
        """
        if self._login.is_expired and self._login.refresh_token:
            await self._refresh()
        return self._login.token

    def is_ours(self, url: URL) -> bool:
        """Whether the URL is of the platform that was logged in to: the API, or a service of one of the clusters."""
        origins = {self.api_url.origin(), self.admin_url.origin()}
        for cluster in self._login.server.clusters:
            origins.update(
                service.origin()
                for service in (
                    cluster.registry_url,
                    cluster.storage_url,
                    cluster.blob_storage_url,
                    cluster.users_url,
                    cluster.monitoring_url,
                    cluster.secrets_url,
                    cluster.disks_url,
                )
                if service.host
            )
        return url.origin() in origins

    async def fetch(self) -> None:
        """Ask the platform for the clusters again; refused, with nothing changed, when the current one is gone."""
        server = await authorized_config(self._transport, self.api_url, await self.token())
        name = self.cluster_name
        if name not in {cluster.name for cluster in server.clusters}:
            raise ConfigError(
                f"Cluster {name} doesn't exist any more; there are {', '.join(c.name for c in server.clusters)}"
                f"{_named_by_project(name) or '. Log in again (neuro login)'}"
            )
        fetched = replace(self._login.server, clusters=server.clusters, features=server.features)
        await self._remember(server=fetched)

    async def switch_cluster(self, name: str) -> None:
        """Make another cluster the current one, here and for later clients; makes no request."""
        if pinned_cluster() is not None:
            raise ConfigError(
                f"Cannot switch the cluster: the {PROJECT_FILE} of this project names {pinned_cluster()}. Edit that"
            )
        if name not in self.clusters:
            raise ConfigError(f"Cluster {name} doesn't exist; there are {', '.join(self.clusters)}")
        await self._remember(cluster_name=name)

    def use_cluster(self, name: str) -> None:
        """Work on another cluster for as long as this client lives; a project's file does not stop that."""
        self._chosen_cluster = self.get_cluster(name).name

    async def check_server(self) -> None:
        """After an update of the SDK: make sure that the stored login still describes the server."""
        if self._login.version == __version__:
            return
        stored, server = self._login.server, await authorized_config(self._transport, self.api_url, await self.token())
        if server.clusters != stored.clusters or server.auth != stored.auth:
            raise ConfigError("The platform was updated since the login: log in again (neuro login)")
        try:
            await self._remember(version=__version__, server=server)
        except ConfigError as exc:
            log.warning("%s", exc)

    async def get_user_config(self) -> Mapping[str, Any]:
        """What ``user.toml`` and the project's ``.neuro.toml`` say, read anew."""
        return user_config(self._folder)

    async def _refresh(self) -> None:
        store = self._store
        if store is None:
            self._renew(await self._new_tokens(self._login))
            return
        async with store.locked():
            stored = store.load()  # gone after a logout: then the login must not come back through us
            if not _same_person(stored, self._login):
                self._renew(await self._new_tokens(self._login))
                return
            if stored.is_expired:
                stored = renewed(stored, await self._new_tokens(stored))
                try:
                    store.save(stored)
                except ConfigError as exc:
                    log.warning("%s", exc)
            self._login = replace(
                self._login, token=stored.token, expires=stored.expires, refresh_token=stored.refresh_token
            )

    async def _new_tokens(self, login: Login) -> Tokens:
        return await refreshed_tokens(self._transport, login.server.auth, login.refresh_token)

    def _renew(self, tokens: Tokens) -> None:
        self._login = renewed(self._login, tokens)

    async def _remember(self, **changes: Any) -> None:  # Any: members of Login
        """Change the stored login and ours, keeping what other processes have changed meanwhile."""
        if self._store is not None:
            async with self._store.locked():
                self._store.save(replace(self._store.load(), **changes))
        self._login = replace(self._login, **changes)

    @property
    def _cluster(self) -> Cluster:
        return self.get_cluster(self.cluster_name)


def user_of(token: str) -> str:
    """The user that a token names; not checked, that is the server's business."""
    try:
        body = token.split(".")[1]
        claims = load(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, binascii.Error, ValueError) as exc:
        raise IllegalArgumentError("The token does not say whose it is: it is not a JSON web token") from exc
    for claim in _USER_CLAIMS:
        if isinstance(claims, dict) and isinstance(name := claims.get(claim), str):
            return name
    raise IllegalArgumentError("The token does not say whose it is: it has no claim 'identity'")


def new_login(url: URL, tokens: Tokens, **members: Any) -> Login:  # Any: the other members of Login
    """What to remember after a login."""
    return Login(
        format=FORMAT,
        version=__version__,
        url=url,
        token=tokens.access_token,
        expires=tokens.expires,
        refresh_token=tokens.refresh_token,
        **members,
    )


def renewed(login: Login, tokens: Tokens) -> Login:
    """The same login with newer tokens."""
    return replace(login, token=tokens.access_token, expires=tokens.expires, refresh_token=tokens.refresh_token)


def _same_person(one: Login, other: Login) -> bool:
    if one.url != other.url:
        return False
    try:
        return user_of(one.token) == user_of(other.token)
    except IllegalArgumentError:
        return True


def _named_by_project(cluster: str) -> str:
    """What more there is to say of a cluster that does not exist."""
    if pinned_cluster() != cluster:
        return ""
    return f". It is named in the {PROJECT_FILE} of this project: please edit the local user config file"
