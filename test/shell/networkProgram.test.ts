import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// The real program that watches the network for a tunnel, with a simulated network.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "network-"));
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "network"), readProgram("network"));
  writeFileSync(join(folder, "pid"), "999999999\n");
  program("ss", ":");
  program("ssh", `[ "$1" = -G ] || echo "$*" >>${folder}/asked`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const program = (name: string, text: string) => {
  writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(folder, "bin", name), 0o755);
};

/**
 * Its routes differ each time; the kernel reports this many changes after this many checks, one every hundredth of a
 * second.
 */
const changes = (many: number, after = 0) =>
  program(
    "ip",
    `case "$*" in
       monitor*) i=0; while [ $i -lt ${many} ]; do
         echo change
         sleep 0.01
         [ "0$(grep -sc . ${folder}/looks)" -lt ${after} ] || i=$((i + 1))
       done ;;
       "-4 route show") date +%s%N; echo look >>${folder}/looks ;;
     esac`,
  );
const lines = (file: string) =>
  existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8").trim().split("\n") : [];

describe.each(shells)("the watch of the network in %s", (_name, shell) => {
  const watch = () =>
    spawnSync(shell[0]!, [...shell.slice(1), join(folder, "network"), "ssh-tunnel-nas", folder], {
      env: { PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}` },
      timeout: 20_000,
    });

  test("checks at most once a second if the network changes all the time, and also after the last change", () => {
    changes(100, 2);
    writeFileSync(join(folder, "control"), "");
    const started = performance.now();
    watch();
    const seconds = (performance.now() - started) / 1000;
    // Before the first change, at it, and after all that came while it paused.
    expect(lines("looks").length).toBeGreaterThanOrEqual(3);
    expect(lines("looks").length).toBeLessThanOrEqual(2 + seconds);
    expect(lines("asked").length).toBe(lines("looks").length - 1);
  });

  test("waits for the public host as long as the keep-alive does, but for 4 to 10 s", () => {
    const patience = (serverAliveInterval: number) => {
      program("timeout", `echo "$1" >${folder}/patience`);
      program("ssh", `[ "$1" != -G ] || echo "serveraliveinterval ${serverAliveInterval}"`);
      changes(1);
      writeFileSync(join(folder, "control"), "");
      watch();
      return lines("patience");
    };
    expect(patience(3)).toEqual(["4"]);
    expect(patience(6)).toEqual(["6"]);
    expect(patience(60)).toEqual(["10"]);
  });

  test.each(["ssh", "its ProxyCommand"])(
    "ends a tunnel whose address is gone, if %s has the connection",
    (who) => {
      // A tunnel with a child, as ssh has for its ProxyCommand.
      const tunnel = spawn("sh", ["-c", "sleep 60 & wait"], { detached: true });
      const child = () => readFileSync(`/proc/${tunnel.pid}/task/${tunnel.pid}/children`, "utf8").trim();
      while (child() === "");
      writeFileSync(join(folder, "pid"), `${tunnel.pid}\n`);
      const holder = who === "ssh" ? tunnel.pid : child();
      program("ss", `echo 'ESTAB 0 0 198.18.0.3:40000 198.18.0.4:3128 users:(("x",pid=${holder},fd=3))'`);
      changes(1);
      const { stdout } = watch();
      expect(String(stdout)).toBe(
        "the network has changed: the address 198.18.0.3 of the tunnel's connection is gone; restarting the tunnel\n",
      );
      process.kill(-tunnel.pid!, "SIGKILL");
    },
  );

  test("asks nothing over a connection that does not exist yet", () => {
    changes(1);
    watch();
    expect(lines("looks")).toHaveLength(2);
    expect(lines("asked")).toEqual([]);
  });
});
