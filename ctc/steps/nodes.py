"""Starts a command several times at once, as `torchrun` does, on as many machines as a job was given.

Each machine runs this program, which finds out from the platform which one it is, and starts the processes of its own
node with the variables that torchrun sets (PyTorch, `torch.distributed.run`); ranks are counted node by node. The
processes meet at `MASTER_ADDR:MASTER_PORT`, where that of rank 0 listens; torchrun itself is not needed. If one of them
fails, all are ended, on every machine, and all are tried again. What a node but the first writes to an output is not
kept.

On one machine, where `CTC_MOUNTS` stands for the object store, one program starts the processes of all nodes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

from ctc.steps.meeting import BROKEN, LATE, WELL, Alone, First, Other
from ctc.steps.shim import (
    GRACE_SECONDS,
    RUNNING,
    STOPPED,
    Places,
    Work,
    end_group,
    last_lines_of,
    main,
    obey,
    run,
    started,
    streamed,
)
from ctc.steps.shim_files import Failed

Words = Dict[str, str]
Meeting = Union[Alone, First, Other]
Start = Callable[[List[str], Optional[str], Words, float], Tuple[Optional[int], str]]

MASTER_PORT, PAUSE_SECONDS = 29500, 0.05
"""torchrun's own port, where the platform names none; and how often the processes are looked at."""


class Group(NamedTuple):
    """The machines of a job. `hosts` are their addresses in the order of their ranks, `here` the ranks of the nodes
    whose processes this program starts, `processes` how many each node has."""

    hosts: List[str]
    port: int
    here: List[int]
    processes: int


def group_of(options: Words) -> Group:
    """What the platform tells: SageMaker in a file, Vertex AI in `CLUSTER_SPEC`, Azure ML in torchrun's variables."""
    nodes, processes = int(options["nodes"]), int(options["processes"])
    if os.environ.get("CTC_MOUNTS"):
        hosts, port, here = ["127.0.0.%d" % number for number in range(1, nodes + 1)], free_port(), list(range(nodes))
    elif os.path.isfile(options.get("hosts", "")):
        with open(options["hosts"], encoding="utf-8") as file:
            told = json.load(file)
        hosts = sorted(told["hosts"], key=lambda name: (len(name), name))
        port, here = MASTER_PORT, [hosts.index(told["current_host"])]
    elif os.environ.get("CLUSTER_SPEC"):
        told = json.loads(os.environ["CLUSTER_SPEC"])
        pools = [told["cluster"][name] for name in sorted(told["cluster"])]
        task = sorted(told["cluster"]).index(told["task"]["type"])
        hosts = [host.rpartition(":")[0] for pool in pools for host in pool]
        port = int(pools[0][0].rpartition(":")[2])
        here = [sum(len(pool) for pool in pools[:task]) + int(told["task"]["index"])]
    elif os.environ.get("MASTER_ADDR") and os.environ.get("NODE_RANK"):
        rank, first = int(os.environ["NODE_RANK"]), os.environ["MASTER_ADDR"]
        hosts = [first, *("node-%d" % number for number in range(1, int(os.environ.get("WORLD_SIZE") or nodes)))]
        port, here = int(os.environ.get("MASTER_PORT") or MASTER_PORT), [rank]
    else:
        raise Failed("the platform does not say which of the %d machines this is" % nodes)
    if len(hosts) != nodes or not 0 <= here[0] < nodes:
        raise Failed("the job asked for %d machines, and the platform gave %d" % (nodes, len(hosts)))
    return Group(hosts, port, here, processes)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def variables(group: Group, node: int, local: int) -> Words:
    """What torchrun sets for one process."""
    rank, world = node * group.processes + local, len(group.hosts) * group.processes
    found: Dict[str, Any] = {
        "MASTER_ADDR": group.hosts[0],
        "MASTER_PORT": group.port,
        "RANK": rank,
        "WORLD_SIZE": world,
        "LOCAL_RANK": local,
        "LOCAL_WORLD_SIZE": group.processes,
        "GROUP_RANK": node,
        "GROUP_WORLD_SIZE": len(group.hosts),
        "ROLE_NAME": "default",
        "ROLE_RANK": rank,
        "ROLE_WORLD_SIZE": world,
        "TORCHELASTIC_RESTART_COUNT": 0,
        "TORCHELASTIC_MAX_RESTARTS": 0,
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_USE_AGENT_STORE": False,
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
    }
    if len(group.here) * group.processes > 1:
        found["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or "1"
    return {name: str(value) for name, value in found.items()}


def together(group: Group, meeting: Meeting, of_node: Callable[[int], Words]) -> Start:
    """What runs a command as all processes of this machine at once, as one of its group; `of_node` are more variables
    of each node's."""

    def start(argv: List[str], cwd: Optional[str], environment: Words, timeout: float) -> Tuple[Optional[int], str]:
        """The exit code and the last lines of the first process that failed, on whichever machine; else of rank 0."""
        signal.signal(signal.SIGTERM, obey)
        meeting.begin()
        RUNNING.clear()
        for node in group.here:
            for local in range(group.processes):
                own = {**environment, **of_node(node), **variables(group, node, local)}
                RUNNING.append(started(argv, cwd, own))
        processes = list(RUNNING)
        read = [streamed(process, lines=True) for process in processes]
        if STOPPED:
            end_all(processes, signal.SIGTERM)
        end = time.monotonic() + timeout if timeout else None
        verdict, lines, code = followed(processes, [tail for _, tail in read], end, meeting)
        if verdict == LATE:
            end_all(processes, signal.SIGTERM)
            patience = time.monotonic() + GRACE_SECONDS
            while None in [process.poll() for process in processes] and time.monotonic() < patience:
                time.sleep(PAUSE_SECONDS)
        end_all(processes, signal.SIGKILL)
        for index, process in enumerate(processes):
            process.wait()
            read[index][0].join(GRACE_SECONDS)
            assert process.stdout is not None
            process.stdout.close()
        RUNNING.clear()
        return None if verdict == LATE else code if verdict == BROKEN else 0, lines

    return start


def followed(
    processes: List[subprocess.Popen[bytes]], tails: List[bytearray], end: Optional[float], meeting: Meeting
) -> Tuple[bytes, str, int]:
    """Until the try has come to something on all machines: what, the last lines, and a code where it failed."""
    ended, said, code = b"", "", 1
    while True:
        codes = [process.poll() for process in processes]
        failed = [index for index, found in enumerate(codes) if found]
        if not ended and failed:
            # The other pipes are read to their end later; this one says why.
            time.sleep(PAUSE_SECONDS)
            ended, said, code = BROKEN, last_lines_of(tails[failed[0]]), codes[failed[0]] or 1
        elif not ended and None not in codes:
            ended, said = WELL, last_lines_of(tails[0])
        elif not ended and end is not None and time.monotonic() > end:
            ended, said = LATE, last_lines_of(tails[0])
        verdict, lines = meeting.look(ended, said)
        if verdict:
            return verdict, lines, code
        time.sleep(PAUSE_SECONDS)


def end_all(processes: List[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        end_group(process, number)


def meeting_of(group: Group) -> Meeting:
    """How the machines of a group begin and end their tries."""
    if len(group.here) == len(group.hosts):
        return Alone()
    rank = group.here[0]
    return Other(group.hosts[0], group.port + 1, rank) if rank else First(group.port + 1, len(group.hosts))


def as_nodes(
    group: Group, arguments: argparse.Namespace, work: Work, places: Places, of_node: Callable[[int], Words]
) -> None:
    """Runs the command as its group does. On a machine that is not the first, outputs are folders that go with it."""
    start = together(group, meeting_of(group), of_node)
    if group.here[0] == 0:
        run(arguments, work, places, start)
        return
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        folders = {name: os.path.join(scratch, name) for name in places.outputs}
        for folder in folders.values():
            os.makedirs(folder)
        run(arguments, work, Places(dict(places.inputs, **folders), {}, {}), start)
    # What the step tells of its outputs, the first machine tells.
    sys.exit(0)


def distributed(arguments: argparse.Namespace, work: Work, places: Places) -> None:
    """What is done with the command of a distributed training. Raises what the shim raises."""
    group = group_of(dict(word.split("=", 1) for word in arguments.option))
    as_nodes(group, arguments, work, places, lambda node: {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], distributed))
