#!/usr/bin/env python3
"""How long it takes from kill -9 of a node until the others have decided that it is gone: three nodes with default settings, etcd on the same machine.

    cargo build --release -p gc-host --features etcd
    python3 benches/exile.py target/release/host [--times TIMES] [--json]

Each node is killed in turn, at a random moment, and started again. The clock runs from the signal until every other node has a membership without it, as
their own answers say, asked about every 20 ms.
"""

import argparse
import json
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = ["n1", "n2", "n3"]
PATIENCE = 120


def free_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def start_etcd(folder):
    clients, peers = free_url(), free_url()
    command = ["etcd", "--name", "one", "--data-dir", folder / "etcd", "--initial-cluster", f"one={peers}"]
    command += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    quiet = subprocess.DEVNULL
    return clients, subprocess.Popen(command, stdout=quiet, stderr=quiet)


class Node:
    """A process that is started as often as needed, always with the same folder and address."""

    def __init__(self, host, folder, name, etcd):
        self.host, self.folder, self.name, self.etcd = host, folder, name, etcd
        self.address, self.process = None, None

    def start(self, others):
        command = [self.host, "run", "--quiet", "--certs", "certs", "--node", self.name, "--state", self.name, "--socket", f"{self.name}.sock"]
        command += ["--listen", self.address or "127.0.0.1:0", "--etcd", self.etcd]
        known = [other.address for other in others if other.address]
        command += ["--join", ",".join(known)] if known else []
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line.strip())
            if "cluster on " in line:
                self.address = line.split()[2]
                return
        sys.exit(f"{self.name} does not start: {' '.join(said) or 'it says nothing'}")

    def members(self):
        command = [self.host, "cluster", "status", "--json", "--socket", f"{self.name}.sock"]
        asked = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        found = json.loads(asked.stdout)["members"] if asked.returncode == 0 else []
        return {member["name"] for member in found if member["up"]}

    def kill(self):
        self.process.kill()
        self.process.wait()


def wait(nodes, names):
    """Until each of these nodes sees exactly these members, all of them up."""
    begun = time.monotonic()
    for node in nodes:
        while node.members() != names:
            if time.monotonic() - begun > PATIENCE:
                sys.exit(f"{node.name} sees {sorted(node.members())}, not {sorted(names)}")
            time.sleep(0.02)


def measure(nodes, times):
    for turn in range(times):
        wait(nodes, set(NAMES))
        time.sleep(random.uniform(3, 5))
        victim = nodes[turn % len(nodes)]
        others = [node for node in nodes if node is not victim]
        begun = time.monotonic()
        victim.kill()
        wait(others, {node.name for node in others})
        yield victim.name, time.monotonic() - begun
        if turn + 1 < times:
            victim.start(others)


def main():
    parser = argparse.ArgumentParser(description="How long it takes from kill -9 of a node until the others have decided that it is gone.")
    parser.add_argument("host", type=Path, help="a host built with --features etcd")
    parser.add_argument("--times", type=int, default=10, help="how often a node is killed (default 10)")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each")
    options = parser.parse_args()
    if not shutil.which("etcd"):
        sys.exit("etcd is not installed: apt-get install etcd-server")
    host, took = options.host.resolve(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in [["init", "shop"], ["issue", *NAMES]]:
            subprocess.run([host, "cert", *command], cwd=folder, check=True, capture_output=True)
        etcd, server = start_etcd(folder)
        nodes = [Node(host, folder, name, etcd) for name in NAMES]
        try:
            for node in nodes:
                node.start(nodes)
            for name, seconds in measure(nodes, options.times):
                took.append(seconds)
                line = json.dumps({"killed": name, "decision_s": seconds}) if options.json else f"{name}: {seconds:.2f} s"
                print(line, flush=True)
        finally:
            for process in [node.process for node in nodes if node.process] + [server]:
                process.kill()
                process.wait()
    if not options.json:
        print(f"median {statistics.median(took):.2f} s, worst {max(took):.2f} s, of {len(took)}")


if __name__ == "__main__":
    main()
