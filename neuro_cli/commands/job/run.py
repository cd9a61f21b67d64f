"""`neuro job run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from neuro_cli import exits, params
from neuro_cli.command import argument, command, option
from neuro_cli.forwards import Ports
from neuro_cli.options import cluster_option, output_options, port_forward_option, quiet_option, refused
from neuro_cli.root import Root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuro_sdk import Client, HTTPPort, JobDescription, JobPlan, Preset, Resources

HOST = ("host", "host:latest")  # no container: there is no network of its own whose ports could be published
_DAY = 24 * 60 * 60.0


def _preemptible(ctx: click.Context, _: click.Parameter, value: bool | None) -> None:
    if value is not None:
        ctx.ensure_object(Root).warn("-p and -P do nothing any more: a preset decides where jobs may run")


@command(context_settings={"allow_interspersed_args": False})
@argument("image", type=params.IMAGE, help="What to run in; host is the machine itself, no container.")
@argument("cmd", nargs=-1, metavar="[CMD]...", help="The program; one word alone is split as a shell would.")
@option(
    "-s",
    "--preset",
    type=params.GIVEN,
    metavar="PRESET",
    help="How much of the machine; neuro config show lists them.  [default: the first]",
)
@option("--cpu", type=params.CPUS, metavar="NUMBER", help="CPUs, fractions allowed, instead of the preset's.")
@option(
    "--memory",
    type=params.MEMORY,
    metavar="AMOUNT",
    help="Memory instead of the preset's: 512M, 4G (powers of 1024), 4GB (of 1000).",
)
@option(
    "--gpu",
    type=click.IntRange(0),
    metavar="NUMBER",
    help="GPUs instead of the preset's; with --cpu or --memory and without -s there are none.",
)
@option("--gpu-model", type=params.GIVEN, metavar="MODEL", help="Which GPUs they must be.")
@option("-n", "--name", type=params.JOB_NAME, metavar="NAME", help="A name for the job, of which only one may run.")
@option(
    "--tag", "tags", multiple=True, type=params.GIVEN, metavar="TAG", help="A label, to find the job by. Repeatable."
)
@option("-d", "--description", metavar="TEXT", help="Free text about the job.")
@option(
    "-v",
    "--volume",
    "volumes",
    multiple=True,
    metavar="MOUNT",
    help="storage:PATH:/MOUNT[:ro|:rw], or disk:, secret:; where the cluster has such. Repeatable.",
)
@option(
    "-e",
    "--env",
    "env",
    multiple=True,
    type=params.ENV,
    metavar="VAR=VAL",
    help="A variable; VAR alone has your value, VAR=secret:KEY a secret. Repeatable.",
)
@option(
    "--env-file",
    "env_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="A file of such lines; -e wins. Repeatable.",
)
@option("-w", "--workdir", metavar="PATH", help="The working directory.")
@option("--entrypoint", metavar="CMD", help="Run this instead of what the image would.")
@option(
    "-x/-X", "--extshm/--no-extshm", default=True, help="A large /dev/shm, where there are containers.  [default: yes]"
)
@option(
    "--http",
    "--http-port",
    "http",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The port of the job to publish over HTTP; 0 for none.  [default: 80; none for host]",
)
@option("--http-auth/--no-http-auth", default=None, help="Whether that port needs a login.  [default: yes]")
@option(
    "--life-span",
    type=params.DURATION,
    metavar="TIMEDELTA",
    help="How long it may run: 1d2h3m4s; 0 for ever.  [default: 1d]",
)
@option(
    "--schedule-timeout", type=params.DURATION, metavar="TIMEDELTA", help="Give up when it could not start for so long."
)
@option(
    "--restart",
    type=click.Choice(["never", "on-failure", "always"]),
    default="never",
    show_default=True,
    help="Whether to start it again when it ends.",
)
@option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    default="normal",
    show_default=True,
    help="Who starts first when there is not enough for all.",
)
@option("--detach", is_flag=True, help="Do not stay: print the job's id once it has started.")
@option(
    "--wait-start/--no-wait-start", default=True, help="Wait until it has started; not to wait is to detach at once."
)
@option(
    "--wait-for-seat/--no-wait-for-seat",
    default=False,
    help="Queue when you may not run more jobs now, rather than fail.",
)
@option("--pass-config/--no-pass-config", default=False, help="Let the job use the platform in your name.")
@option("--privileged", is_flag=True, help="Run the container privileged, where the cluster allows it.")
@option(
    "--share",
    multiple=True,
    type=params.GIVEN,
    metavar="USER",
    help="Give this user or role write permission on the job. Repeatable.",
)
@option("--browse", is_flag=True, help="Open the job's HTTP address once it has started.")
@option("--org", "org_name", type=params.GIVEN, metavar="NAME", help="Of which organisation, where there are some.")
@option(
    "--project", "project_name", type=params.GIVEN, metavar="NAME", help="Of which project; of your own: your name."
)
@option("--dry-run", is_flag=True, help="Only say what would be started, where, and whether it would have to wait.")
@option("-t/-T", "--tty/--no-tty", default=None, help="With a terminal, or without.  [default: with, when all is one]")
@output_options
@cluster_option
@port_forward_option
@refused("--energy-schedule", why="this platform has no energy schedules")
@option(
    "-p/-P",
    "--preemptible/--non-preemptible",
    default=None,
    hidden=True,
    expose_value=False,
    callback=_preemptible,
    help="Deprecated.",
)
@quiet_option
async def run(
    root: Root,
    *,
    image: str,
    cmd: tuple[str, ...],
    http: int | None,
    http_auth: bool | None,
    life_span: float | None,
    detach: bool,
    wait_start: bool,
    browse: bool,
    tty: bool | None,
    share: tuple[str, ...],
    ports: tuple[Ports, ...],
    dry_run: bool,
    **options: Any,  # Any: what new_job passes on
) -> int:
    """Start a program on the platform, see its output, exit as it does.

    Its standard output and error come through as bytes, standard input goes to it, and the exit code is the program's:
    128 + n when signal n ended it, 125 when the platform failed it. With a terminal, Ctrl-P Ctrl-Q leaves the job;
    without, Ctrl-C asks whether to kill it, to leave it, or to go on.

    Examples:

    # In the environment of this machine
    neuro run host -- python3 train.py --epochs 3

    # In the background, with a name
    neuro run --detach -n train -e LR=0.01 host -- python3 train.py

    # In a pipe
    sort -u words | neuro run host -- wc -l

    # Would it fit? Exits as the refusal would when it never will
    neuro run --dry-run --cpu 4 --memory 8G --gpu 1 host -- python3 train.py
    """
    from neuro_cli import forwards
    from neuro_cli.jobs import attached
    from neuro_cli.sharing import check_sharers, share_job
    from neuro_cli.terminal import all_terminals

    if http == 0 and http_auth is not None:
        raise click.UsageError("--http-auth and --no-http-auth make no sense with --http 0")
    if browse and not wait_start:
        raise click.UsageError("--browse and --no-wait-start exclude each other: the address is known after the start")
    port = 80 if http is None and image not in HOST else http or 0
    if not port and (browse or http_auth is not None):
        given = "--browse" if browse else "--http-auth" if http_auth else "--no-http-auth"
        raise click.UsageError(f"{given} needs a port that the job publishes: --http PORT")
    if ports and (detach or not wait_start):
        raise click.UsageError("--port-forward needs somebody who stays: neuro port-forward does it for a detached job")
    forwards.check(ports)
    words = params.command_of(params.command_words(cmd))
    detach = detach or not wait_start
    if tty is None:
        tty = all_terminals() and not detach
    stdin = not detach and not tty  # even without input of ours: it also tells standard error from output
    async with root.client() as client, forwards.forwarding(root, client, ports) as opened:
        await check_sharers(client, share)
        asked = {
            "command": words,
            "http": _http(port, http_auth),
            "life_span": _life_span(root, life_span, await client.config.get_user_config()),
            "tty": tty,
            "stdin": stdin,
            **_parsed(client, image, **options),
        }
        if dry_run:
            return _tell(root, client, await client.jobs.dry_run.start(**asked))
        job = await client.jobs.start(**asked)
        root.detail(f"{job.id} was submitted" + (f" as {job.name}" if job.name else ""))
        if http and job.http_url:
            root.detail(f"Port {http} is published at {job.http_url}: neuro job browse {job.name or job.id} opens it")
        shared = await share_job(root, client, job, share)
        if detach:
            code = await _leave(root, client, job, wait_start=wait_start, browse=browse)
            return code if shared else code or exits.FAILURE
        if browse:
            job = await _browse(root, client, job)
        opened.lead_to(job)
        opened.tell(job)
        return await attached(root, client, job, is_new=True)


def _parsed(
    client: Client,
    image: str,
    *,
    preset: str | None,
    cpu: float | None,
    memory: int | None,
    gpu: int | None,
    gpu_model: str | None,
    priority: str,
    volumes: tuple[str, ...],
    env: tuple[str, ...],
    env_files: tuple[str, ...],
    workdir: str | None,
    extshm: bool,
    restart: str,
    wait_for_seat: bool,
    **rest: Any,  # Any: what the SDK takes under the same name
) -> dict[str, Any]:
    """The options as ``Jobs.start`` takes them."""
    from neuro_sdk import JobPriority, JobRestartPolicy

    mounts = client.parse.volumes(volumes)
    variables = client.parse.envs(env, env_files)
    return {
        "image": client.parse.remote_image(image),
        "preset_name": preset or next(iter(client.presets), ""),
        "resources": _resources(client.presets, preset, cpu, memory, gpu, gpu_model),
        "priority": JobPriority(priority),
        "working_dir": workdir,
        "env": variables.env,
        "secret_env": variables.secret_env,
        "volumes": mounts.volumes,
        "secret_files": mounts.secret_files,
        "disk_volumes": mounts.disk_volumes,
        "shm": extshm,
        "restart_policy": JobRestartPolicy(restart),
        "wait_for_jobs_quota": wait_for_seat,
        **rest,
    }


def _resources(
    presets: Mapping[str, Preset],
    preset: str | None,
    cpu: float | None,
    memory_mb: int | None,
    gpu: int | None,
    gpu_model: str | None,
) -> Resources | None:
    """What was asked for beside a preset, the rest from it; none for the preset alone.

    Without ``-s`` the first preset says how many CPUs and how much memory, and there are no GPUs.
    """
    from neuro_sdk import IllegalArgumentError, Resources

    if cpu is None and memory_mb is None and gpu is None and gpu_model is None:
        return None
    if preset is not None and preset not in presets:
        raise IllegalArgumentError(
            f"There is no preset {preset!r}; there is {', '.join(presets) or 'none'}. Is it new? neuro config"
            " get-clusters asks again"
        )
    base = presets.get(preset or next(iter(presets), ""))
    asked = Resources(base.memory_mb, base.cpu) if base is not None else Resources(0, 0)  # which is refused
    if preset is not None and base is not None:
        asked = Resources(
            base.memory_mb,
            base.cpu,
            base.gpu,
            base.gpu_model,
            tpu_type=base.tpu_type,
            tpu_software_version=base.tpu_software_version,
        )
    gpus = (asked.gpu if gpu is None else gpu) or None
    if gpu_model is not None and gpus is None:
        raise click.UsageError("--gpu-model says which GPUs: say with --gpu how many")
    return Resources(
        memory_mb=asked.memory_mb if memory_mb is None else memory_mb,
        cpu=asked.cpu if cpu is None else cpu,
        gpu=gpus,
        gpu_model=(gpu_model or asked.gpu_model) if gpus else None,
        tpu_type=asked.tpu_type,
        tpu_software_version=asked.tpu_software_version,
    )


def _http(port: int, auth: bool | None) -> HTTPPort | None:
    from neuro_sdk import HTTPPort

    return HTTPPort(port, auth is not False) if port else None


def _life_span(root: Root, given: float | None, settings: Any) -> float | None:
    """Seconds, in whole minutes as the platform counts them; none for no limit."""
    if given is None:
        text = settings.get("job", {}).get("life-span")
        given = _DAY if text is None else params.parse_duration(text)
        if given is None:
            raise click.UsageError(
                f"Invalid value for job.life-span in the user configuration: {text!r} is not a time such as 1d2h3m4s"
            )
    if given == 0:
        root.warn("a job without a limit is deprecated: give it a --life-span that it cannot reach")
        return None
    return -(-given // 60) * 60  # rounded up: nothing is cut short, and a few seconds do not become none


def _tell(root: Root, client: Client, plan: JobPlan) -> int:
    from neuro_cli.render.reasons import plan_card

    root.show(plan, lambda it: plan_card(it, root.style(client)), name="now" if plan.starts_now else plan.reason.kind)
    return exits.OK


async def _leave(root: Root, client: Client, job: JobDescription, *, wait_start: bool, browse: bool) -> int:
    from neuro_cli.jobs import say_ending
    from neuro_cli.jobs import wait_start as wait
    from neuro_cli.output import Output
    from neuro_cli.render.jobs import job_card

    if browse:
        job = await _browse(root, client, job)
    elif wait_start:
        job = await wait(root, client, job)
    if root.output is Output.TABLE:
        root.print(job.id)
        if not job.status.is_finished:
            root.detail(f"neuro logs {job.name or job.id} shows its output, neuro kill ends it")
    else:
        root.show(job, lambda it: job_card(it, root.style(client)), name=job.id)
    if job.status in ("failed", "cancelled") and not any(step.status == "running" for step in job.history.transitions):
        say_ending(root, job, told=False)  # never ran; not by started_at, which a job that has ended always has
        return job.history.exit_code or exits.PLATFORM_FAILED
    return exits.OK


async def _browse(root: Root, client: Client, job: JobDescription) -> JobDescription:
    """Open what the job publishes; what stands in the way of that is no reason to leave the job alone."""
    from neuro_cli.browsing import opening_of, show_page
    from neuro_cli.jobs import wait_start
    from neuro_sdk import NeuroError

    job = await wait_start(root, client, job)
    try:
        if not job.status.is_finished:
            await show_page(root, job, await opening_of(root, client, job), on_stdout=False)
    except NeuroError as exc:
        root.warn(str(exc))
    return job
