import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// The real program that systemd starts as the tunnel, with an ssh and a sleep that only record their arguments.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tunnel-"));
  mkdirSync(join(folder, "bin"));
  program(
    "sleep",
    `#!/bin/sh\ncase $1 in 0.05) exec /bin/sleep "$1" ;; esac\necho "sleep $*" >>"${folder}/said"\n`,
  );
  program("ssh", ssh());
  program("network", "#!/bin/sh\n");
  program("tunnel", readProgram("tunnel"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const program = (name: string, text: string) => {
  writeFileSync(join(folder, "bin", name), text);
  chmodSync(join(folder, "bin", name), 0o755);
};

/** The master's connection is there at once, and ends by a signal or by itself. */
const ssh = (also = "") => `#!/bin/sh
echo "ssh $*" >>"${folder}/said"
${also}
case "$*" in *" -M "*) : >control && exec /bin/sleep 0.2 ;; esac
`;

const withAes = /\baes\b/.test(readFileSync("/proc/cpuinfo", "utf8"));

/** In hundredths of a second. */
const uptime = () => Math.round(Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 100);

const environment = () => ({
  RUNTIME_DIRECTORY: folder,
  PATH: `${join(folder, "bin")}:${process.env.PATH ?? ""}`,
});

describe.each(shells)("the tunnel's program in %s", (_name, shell) => {
  const command = () => [
    ...shell.slice(1),
    join(folder, "bin/tunnel"),
    "ssh-tunnel-nas",
    "30",
    "-R 2222:x:22",
  ];

  /**
   * Runs it for a tunnel that has been down for this long, with its last attempt this long ago; returns what it did.
   */
  const start = (down?: number, last = 0) => {
    if (down !== undefined) {
      writeFileSync(join(folder, "down-since"), `${uptime() - down * 100} ${uptime() - last * 100}\n`);
    }
    const { status, signal } = spawnSync(shell[0]!, command(), {
      cwd: folder,
      env: environment(),
      timeout: 10_000,
    });
    const said = existsSync(join(folder, "said"))
      ? readFileSync(join(folder, "said"), "utf8").trim().split("\n")
      : [];
    rmSync(join(folder, "said"), { force: true });
    return { status, signal, said };
  };

  /** How long it paused before it tried. */
  const pause = (down: number, last?: number) =>
    Number(/^sleep (\d+\.\d\d)$/.exec(start(down, last).said[0] ?? "")?.[1] ?? 0);
  /** That it paused for this long, minus the time of the program itself, which counts, too. */
  const expectPause = (seconds: number, down: number, last?: number) => {
    const before = uptime();
    const paused = pause(down, last);
    expect(paused).toBeLessThanOrEqual(seconds + 0.1);
    expect(paused).toBeGreaterThanOrEqual(seconds - (uptime() - before) / 100);
  };

  test("ends its earlier session over its own connection, and then requests the forwards", () => {
    expect(start().said.filter((line) => !line.startsWith("ssh -G"))).toEqual([
      `ssh -y -N -T -M -S ${folder}/control -o ControlPersist=no -o ClearAllForwardings=yes ssh-tunnel-nas`,
      "ssh -F /dev/null -T -S control ssh-tunnel-nas evict-stale",
      "ssh -q -F /dev/null -S control -O forward -R 2222:x:22 ssh-tunnel-nas",
    ]);
  });

  test("notifies its watchdog when it has its forwards, not about an earlier connection", () => {
    const has = join(folder, "forwarding");
    writeFileSync(has, "");
    program(
      "ssh",
      ssh('case "$*" in *" -M "*) [ -e forwarding ] && echo earlier >>"$RUNTIME_DIRECTORY/said" ;; esac'),
    );
    const seen = start().said;
    expect(seen).not.toContain("earlier");
    expect(existsSync(has)).toBe(true);
    program("ssh", ssh('case "$*" in *"-O forward"*) exit 255 ;; esac'));
    start();
    expect(existsSync(has)).toBe(false);
  });

  test("exits, so that systemd tries again, if it does not get its forwards", () => {
    program(
      "ssh",
      ssh('case "$*" in *forward*) exit 255 ;; *" -M "*) : >control && exec /bin/sleep 60 ;; esac'),
    );
    expect(start()).toMatchObject({ signal: "SIGTERM" });
  });

  test("does not mistake an earlier connection's control socket for its own", () => {
    writeFileSync(join(folder, "control"), "");
    program("ssh", ssh('case "$*" in *" -M "*) exit 255 ;; esac'));
    const { said, status } = start();
    expect(status).toBe(255);
    expect(said.filter((line) => line.includes("-S control"))).toEqual([]);
  });

  test.skipIf(!withAes)("prefers AES-GCM to all other ciphers that its host allows", () => {
    const options = (allowed: string) => {
      program("ssh", ssh(`[ "$1" != -G ] || echo "ciphers ${allowed}"`));
      return start()
        .said.find((line) => line.includes(" -M "))!
        .replace(/^.*ClearAllForwardings=yes /, "");
    };
    expect(
      options("chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"),
    ).toBe(
      "-o Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com ssh-tunnel-nas",
    );
    expect(options("chacha20-poly1305@openssh.com,aes256-ctr")).toBe("ssh-tunnel-nas");
  });

  test("pauses for a hundredth of the time that it has been down: hardly at first, and never longer than the maximum", () => {
    expectPause(0.3, 0);
    expectPause(0.5, 50);
    expectPause(10, 1000);
    expectPause(30, 100_000);
    // On a busy machine the program itself may take as long.
    expect(Math.max(...Array.from({ length: 5 }, () => pause(0)))).toBeGreaterThan(0);
  });

  test("counts the time of the last attempt as part of the pause", () => {
    expectPause(6, 1000, 4);
    expect([10, 20].map((last) => pause(1000, last))).toEqual([0, 0]);
  });

  test("is as old to its watchdog as its attempt, not as its pause", () => {
    program("sleep", "#!/bin/sh\ncase $1 in 0.05) ;; *) touch -d @1 pid ;; esac\n/bin/sleep 0.05\n");
    start(1000);
    expect(statSync(join(folder, "pid")).mtimeMs).toBeGreaterThan(1000);
  });

  test("remembers since when it is down until a check has seen it work", () => {
    const since = () => Number(readFileSync(join(folder, "down-since"), "utf8").split(" ")[0]);
    start();
    expect(uptime() - since()).toBeLessThan(500);
    start(1000);
    expect(uptime() - since()).toBeGreaterThanOrEqual(100_000);
    rmSync(join(folder, "down-since"));
    expect(start().said[0]).toMatch(/^ssh/);
  });

  test("tries at once, and continues from there, if what it remembers makes no sense", () => {
    const later = `${uptime() + 100_000} ${uptime() + 100_000}`;
    for (const rubbish of ["", "\n", "x y\n", "12", `${uptime() - 1000} x\n`, `${later}\n`]) {
      writeFileSync(join(folder, "down-since"), rubbish);
      expect(start().said[0], JSON.stringify(rubbish)).toMatch(/^ssh/);
      const [since, last] = readFileSync(join(folder, "down-since"), "utf8").split(" ").map(Number);
      expect(since).toBe(last);
      expect(uptime() - since!).toBeLessThan(500);
    }
  });

  test("tries at once if somebody has ended its pause", async () => {
    program("sleep", '#!/bin/sh\ncase $1 in 0.05) exec /bin/sleep "$1" ;; *) exec /bin/sleep 60 ;; esac\n');
    writeFileSync(join(folder, "down-since"), `${uptime() - 100_000} ${uptime()}\n`);
    const paused = spawn(shell[0]!, command(), { cwd: folder, env: environment(), detached: true });
    await expect.poll(() => existsSync(join(folder, "waiting")), { timeout: 5000 }).toBe(true);
    process.kill(-paused.pid!, "SIGTERM");
    expect(start().said[0]).toMatch(/^ssh/);
    expect(existsSync(join(folder, "waiting"))).toBe(false);
  });
});
