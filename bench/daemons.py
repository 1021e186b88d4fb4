"""What bench/run and bench/scale share: rsyslogd as a child, its CPU time, waits, a quiet machine."""

import os
import pathlib
import signal
import subprocess
import time

NOISE = 0.15  # cores used by others from which on a run is marked as disturbed
START_LIMIT = 20  # seconds for a daemon to open its sockets
STALL_LIMIT = 15  # seconds without one new byte at the receiver: the rest is not coming
STOP_LIMIT = 5  # seconds between SIGTERM and SIGKILL


class Failed(Exception):
    """A run that measured nothing; the text says why."""


def wait_for(what, condition, limit, daemons=()):
    """Waits until condition() is true; looks often, so that it costs no precision."""
    deadline = time.monotonic() + limit
    while not condition():
        for daemon in daemons:
            daemon.must_live()
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {limit} s" + "".join(daemon.last_words() for daemon in daemons))
        time.sleep(0.002)


def wait_until_written(file, wanted, daemons):
    """Until `file` has `wanted` bytes."""
    size, since = 0, time.monotonic()
    while (now := size_of(file)) < wanted:
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > STALL_LIMIT:
            raise Failed(f"only {now} of {wanted} bytes were written, then nothing for {STALL_LIMIT} s")
        for daemon in daemons:
            daemon.must_live()
        time.sleep(0.002)


def size_of(file):
    return file.stat().st_size if file.exists() else 0


def cpu_seconds(pid):
    """CPU seconds of all threads of a process, ended ones included: the process's own CPU clock."""
    return time.clock_gettime((~pid << 3) | 2)


class Daemon:
    """A stock rsyslogd in the foreground, with its own folder."""

    def __init__(self, role, work, config, module_path):
        self.role, self.work = role, work
        conf = work / "rsyslog.conf"
        conf.write_text(config, encoding="utf-8")
        self.log = work / "stderr.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["rsyslogd", "-n", "-f", conf, "-i", work / "rsyslogd.pid", "-M", module_path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def must_live(self):
        if self.process.poll() is not None:
            raise Failed(f"the {self.role} ended with status {self.process.returncode}{self.last_words()}")

    def last_words(self):
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return f"\n{self.role} said: {text[-600:]}" if text else ""

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def main_queue_workers(self):
        """Threads that work on the main queue now; an idle one stays for a minute."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/comm")
        return sum(task.read_text(encoding="ascii").startswith("rs:main Q") for task in tasks)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fill_in(text, values):
    """A configuration with its @NAME@ replaced."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def as_command(target, words):
    """How to run this again, wherever its result was written to."""
    ours = ("--json", "--load", "--modules", "--rzlog")
    kept = [word for before, word in zip(["", *words], words) if word not in ours and before not in ours]
    return f'make {target} ARGS="{" ".join(kept)}"' if kept else f"make {target}"


def busy_seconds():
    """CPU seconds that all processes of this machine have used, and what its host took away."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(patience):
    """Until others leave this machine alone for half a second, but no longer than `patience`."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        used, begin = busy_seconds(), time.monotonic()
        time.sleep(0.5)
        if (busy_seconds() - used) / (time.monotonic() - begin) < NOISE:
            return


def quietly(run, patience):
    """One run; with patience up to three, until others have left the machine alone for one."""
    for _ in range(3 if patience else 1):
        wait_for_quiet(patience)
        result = run()
        if result.others <= NOISE:
            break
    return result
