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
    ...["2222:x:22", "8080:x:80"].flatMap((forward) => ["-R", forward]),
  ];

  /**
   * Runs it for a tunnel that has been down for this long, with its last attempt this long ago; returns what it did.
   */
  const start = (down?: number, last = 0) => {
    if (down !== undefined) {
      writeFileSync(join(folder, "down-since"), `${uptime() - down * 100} ${uptime() - last * 100}\n`);
    }
    const { status, signal, stdout } = spawnSync(shell[0]!, command(), {
      cwd: folder,
      env: environment(),
      timeout: 10_000,
      encoding: "utf8",
    });
    const said = existsSync(join(folder, "said"))
      ? readFileSync(join(folder, "said"), "utf8").trim().split("\n")
      : [];
    rmSync(join(folder, "said"), { force: true });
    return { status, signal, stdout, said };
  };

  test("says what was wrong on the way to the public host in the attempt before, unless that had its forwards", () => {
    const refused = join(folder, "refused");
    writeFileSync(refused, "@@@@\n\x1b[2Jthe proxy says no\r\nConnection closed by UNKNOWN port 65535\n");
    expect(start().stdout).toBe("no way to the public host: ?[2Jthe proxy says no\n");
    expect(existsSync(refused)).toBe(false);
    writeFileSync(refused, "the proxy says no\n");
    writeFileSync(join(folder, "forwarding"), "");
    expect(start().stdout).toBe("");
  });

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

  /** What it asked over its connection, in the order of the words: the forwards are asked for all at once. */
  const asked = (said: string[]) =>
    said
      .filter((line) => line.includes("-S control"))
      .map((line) => /evict-stale|-O .*\S(?= ssh-tunnel-nas)/.exec(line)?.[0])
      .sort();

  test("ends its earlier session over its own connection, and requests each forward by itself", () => {
    const { said } = start();
    expect(said.filter((line) => line.includes(" -M "))).toEqual([
      `ssh -y -N -T -M -S ${folder}/control -o ControlPersist=no -o ClearAllForwardings=yes ssh-tunnel-nas`,
    ]);
    expect(said).toContain("ssh -F /dev/null -T -S control ssh-tunnel-nas evict-stale");
    expect(said).toContain("ssh -q -F /dev/null -S control -O forward -R 2222:x:22 ssh-tunnel-nas");
    expect(asked(said)).toEqual(["-O forward -R 2222:x:22", "-O forward -R 8080:x:80", "evict-stale"]);
  });

  /** A connection that lasts until it is ended, or for a moment, and what else ssh does. */
  const during = (seconds: number | string, act: string) =>
    program("ssh", ssh(`case "$*" in *" -M "*) : >control && exec /bin/sleep ${seconds} ;; ${act} esac`));

  test("has its forwards before anything that the public host runs at a login has ended", () => {
    during(1, `*evict-stale*) /bin/sleep 0.5; echo evicted >>"${folder}/said" ;;`);
    program(
      "network",
      `#!/bin/sh\nuntil [ -e "$2/forwarding" ]; do /bin/sleep 0.01; done; echo has >>"$2/said"\n`,
    );
    const { said } = start();
    expect(said.filter((line) => ["has", "evicted"].includes(line))).toEqual(["has", "evicted"]);
  });

  test("asks again for a forward that was refused, once its earlier session has been ended", () => {
    during(
      1,
      `*evict-stale*) /bin/sleep 0.2; : >evicted ;; *"forward -R 2222"*) [ -e evicted ] || exit 255 ;;`,
    );
    const { said, signal } = start();
    expect(signal).toBeNull();
    expect(existsSync(join(folder, "forwarding"))).toBe(true);
    expect(asked(said)).toEqual([
      "-O cancel -R 2222:x:22",
      "-O forward -R 2222:x:22",
      "-O forward -R 2222:x:22",
      "-O forward -R 8080:x:80",
      "evict-stale",
    ]);
  });

  test.each(["2222", "8080"])("keeps the other forward if only that on %s is refused", (port) => {
    during(1, `*"forward -R ${port}"*) exit 255 ;;`);
    const { signal, stdout } = start();
    expect(signal).toBeNull();
    expect(existsSync(join(folder, "forwarding"))).toBe(true);
    expect(stdout).toMatch(
      new RegExp(`^the public host does not listen for ${port}:x:\\d+; the watchdog asks again\n$`),
    );
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

  test("exits, so that systemd tries again, if it gets none of its forwards", () => {
    during(60, "*forward*) exit 255 ;;");
    expect(start()).toMatchObject({ signal: "SIGTERM" });
    expect(existsSync(join(folder, "forwarding"))).toBe(false);
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
