"""Every exception that we raise on purpose.

    NeuroError
    ├── ConfigError (RuntimeError)         no login, or one that cannot be read or used
    ├── ClientError                        the exchange with the platform went wrong
    │   ├── AuthError                      a login or a token could not be had
    │   │   ├── AuthenticationError        401: no credential, or one that is not honoured
    │   │   └── AuthorizationError         403: known, but not allowed
    │   ├── DockerError                    an image could not be made or moved
    │   ├── StreamLost                     a stream broke and could not be resumed
    │   └── NotAPlatform (RuntimeError)    something else answered at that address
    ├── IllegalArgumentError (ValueError)  400 and the like: a value was refused
    │   ├── Conflict                       409: the name is taken, or the state forbids it
    │   └── NotSupportedError              this engine or this server cannot do it
    ├── ResourceNotFound (ValueError)      404
    ├── ServerNotAvailable (ValueError)    502: the platform cannot serve now
    │   └── ServerFault                    500, 503 and the like; an IllegalArgumentError too, as documented
    ├── PlatformError                      the embedded platform cannot start or be managed
    └── NDJSONError (ValueError)           an error reported inside a streamed listing

The server raises these, one middleware writes them as ``{"error": ..., "code": ...}`` with ``status``, and the
client raises the same class again: by ``code`` where the server sent one that we know, by HTTP status otherwise
(Neuro Platform API v1, chapter 1.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class NeuroError(Exception):
    """The base of all our errors: a sentence that says what was wrong and what to do."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500


class ConfigError(NeuroError, RuntimeError):
    """There is no login here, or the stored one cannot be read or used."""

    code = "config"


class ClientError(NeuroError):
    """The exchange with the platform went wrong in a way that has no class of its own."""

    code = "client"
    status = 405


class AuthError(ClientError):
    """A login failed, or a token could not be obtained."""

    code = "auth"
    status = 401


class AuthenticationError(AuthError):
    """The credential is missing, expired, revoked or not one of this platform."""

    code = "unauthenticated"
    status = 401


class AuthorizationError(AuthError):
    """The user is known but may not do this.

    ``missing`` are the permissions that it would take, as ``{"uri": …, "action": …}`` (API v1, chapter 1.3);
    empty where none would help, or where the platform did not say.
    """

    code = "forbidden"
    status = 403
    missing: Sequence[Mapping[str, str]] = ()

    def __init__(self, *args: object, missing: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(*args)
        self.missing = missing


class StreamLost(ClientError):
    """A stream broke before its end was announced, and could not be resumed."""

    code = "stream_lost"


class NotAPlatform(ClientError, RuntimeError):
    """Whatever answers at this address does not speak the Neuro Platform API."""

    code = "not_a_platform"


class IllegalArgumentError(NeuroError, ValueError):
    """The platform refused a value."""

    code = "illegal_argument"
    status = 400


class Conflict(IllegalArgumentError):
    """The name is taken, or the present state forbids it."""

    code = "conflict"
    status = 409


class NotSupportedError(IllegalArgumentError, NotImplementedError):
    """This engine or this server cannot do what was asked."""

    code = "not_supported"
    status = 400


class ResourceNotFound(NeuroError, ValueError):
    """The named thing does not exist, or this user may not see it."""

    code = "not_found"
    status = 404


class ServerNotAvailable(NeuroError, ValueError):
    """The platform cannot serve the request now; later it may."""

    code = "not_available"
    status = 502


class ServerFault(ServerNotAvailable, IllegalArgumentError):
    """The platform failed inside; the documented class for this is ``IllegalArgumentError``, the cause is not."""

    code = "server_fault"
    status = 500


class NDJSONError(NeuroError, ValueError):
    """The platform reported an error after it had begun to stream a listing."""

    code = "ndjson"


class DockerError(ClientError):
    """What keeps images refused, or spoke another language; ``status`` is 900 when it said so itself."""

    code = "docker"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # as aiodocker's error of this name has it
        self.message = message


class PlatformError(NeuroError):
    """The embedded platform cannot start, or its folder, settings or database cannot be used."""

    code = "platform"


class StdStreamError(Exception):
    """What ``StdStream.read_out()`` of 21.8 raises at the end of a program; ours returns ``None`` then.

    Programs for either may go on to catch it. ``exit_code`` is an attribute of the stream here.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"Stream finished with exit code {exit_code}")
        self.exit_code = exit_code


AuthException = AuthError  # the name in ``neuromation.api`` 20.12

BY_CODE: dict[str, type[NeuroError]] = {
    cls.code: cls
    for cls in (
        AuthenticationError,
        AuthorizationError,
        Conflict,
        IllegalArgumentError,
        NotSupportedError,
        ResourceNotFound,
        ServerNotAvailable,
    )
}
