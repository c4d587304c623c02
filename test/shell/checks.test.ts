import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// The real watchdog of a host, with a fake ssh: what it finds, stores and does.

let folder: string;
let runtime: string;
let state: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "checks-"));
  [runtime, state] = [join(folder, "runtime"), join(folder, "state")];
  for (const each of [runtime, state, join(folder, "bin")]) mkdirSync(each);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A process called ssh to watch, and what `ssh -W` does for each port. */
const tunnel = (ports: Record<number, string>) => {
  const cases = Object.entries(ports).map(([port, act]) => `*:${port}*) ${act} ;;`);
  const fake = join(folder, "bin/ssh");
  writeFileSync(fake, `#!/bin/sh\ncase "$*" in *"-O check"*) exit 0 ;; ${cases.join(" ")} esac\n`);
  chmodSync(fake, 0o755);
};
const banner = "echo SSH-2.0-x";
const refused = "exit 255";
const silent = "exit 0";

/** The target is never there: only root may listen on its port. */
const ssh = "ssh,127.0.0.1,2222,ssh,127.0.0.1,1,loopback";
const web = "web,::1,8080,tcp,127.0.0.1,1,all";

/** Runs the program next to a process called ssh; returns its output, and whether that process lives. */
const script = `
  mkdir -p "$1/held" && cp "$(command -v sleep)" "$1/held/ssh"
  "$1/held/ssh" 60 & pid=$!
  echo $pid >"$1/runtime/pid"
  for file in control $FORWARDING; do [ -e "$1/runtime/$file" ] || : >"$1/runtime/$file"; done
  while ! grep -q '^Name:[[:space:]]*ssh$' /proc/$pid/status; do :; done
  shift
  "$@"; status=$?
  kill -0 $pid 2>/dev/null && echo alive || echo ended
  kill $pid 2>/dev/null
  exit $status`;

describe.each(shells)("the watchdog in %s", (_name, shell) => {
  /** What the tunnel writes once it has its forwards. */
  let forwarding = "forwarding";
  beforeEach(() => {
    // It calls itself, in the shell that its first line names.
    const [program, ...options] = shell;
    const { stdout } = spawnSync("sh", ["-c", 'command -v "$1"', "sh", program!], { encoding: "utf8" });
    const text = readProgram("watchdog").replace("#!/bin/sh", `#!${[stdout.trim(), ...options].join(" ")}`);
    writeFileSync(join(folder, "watchdog"), text, { mode: 0o755 });
    forwarding = "forwarding";
  });
  const watchdog = (mode: string, ...forwards: string[]) => {
    const args = [join(folder, "watchdog"), mode, "ssh-tunnel-nas", runtime, ...forwards];
    const { stdout, status } = spawnSync("sh", ["-c", script, "sh", folder, ...args], {
      encoding: "utf8",
      env: {
        PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
        RUNTIME_DIRECTORY: state,
        CHECK_INTERVAL: "15",
        FORWARDING: forwarding,
      },
    });
    const lines = stdout.trimEnd().split("\n");
    return { tunnelIs: lines.at(-1), said: lines.slice(0, -1), status };
  };
  /** The stored state, without the times. */
  const kept = () =>
    readFileSync(join(state, "state"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"))
      .map((fields) => [...fields.slice(0, 3), ...fields.slice(5, 9), fields[11]].join(" "));

  test("records what works, reports it once, and resets the back-off of the tunnel's restarts", () => {
    tunnel({ 2222: banner });
    writeFileSync(join(runtime, "down-since"), "");
    const first = watchdog("repair", ssh);
    expect(first.said).toEqual(["<5>tunnel nas: forward 'ssh' on 127.0.0.1:2222 is up (was unknown)"]);
    expect(kept()).toEqual(["nas internal 15 ssh 127.0.0.1:2222 127.0.0.1:1 up -"]);
    expect(existsSync(join(runtime, "down-since"))).toBe(false);
    expect(watchdog("repair", ssh)).toMatchObject({ said: [], tunnelIs: "alive" });
  });

  test("restarts the tunnel with back-off if a listener is gone, including that of a forward that is not SSH", () => {
    tunnel({ 2222: banner, 8080: refused });
    writeFileSync(join(runtime, "down-since"), "");
    expect(watchdog("repair", ssh, web)).toMatchObject({
      said: [
        "<5>tunnel nas: forward 'ssh' on 127.0.0.1:2222 is up (was unknown)",
        "<4>tunnel nas: forward 'web' on *:8080 is down (was unknown): nothing listens there; restarting the tunnel",
      ],
      tunnelIs: "ended",
    });
    expect(existsSync(join(runtime, "down-since"))).toBe(true);
  });

  test("leaves a tunnel alone if its targets are down, and reports each target once", () => {
    tunnel({ 2222: silent, 8080: silent });
    const { said, tunnelIs } = watchdog("repair", ssh, web);
    expect(said).toEqual([
      "<4>tunnel nas: forward 'ssh' on 127.0.0.1:2222 is down (was unknown): its target 127.0.0.1:1 does not answer",
      "<4>tunnel nas: forward 'web' on *:8080 is down (was unknown): its target 127.0.0.1:1 does not answer",
    ]);
    expect(tunnelIs).toBe("alive");
    // The listener has been seen: trying it again would fill the journal with ssh's own lines.
    tunnel({ 2222: refused, 8080: refused });
    expect(watchdog("repair", ssh, web)).toMatchObject({ said: [], tunnelIs: "alive" });
  });

  test("checks twice before it ends a tunnel", () => {
    const once = join(folder, "once");
    tunnel({ 2222: `if [ ! -e ${once} ]; then : >${once}; exit 255; fi; ${banner}` });
    expect(watchdog("repair", ssh)).toMatchObject({ tunnelIs: "alive" });
    expect(kept()).toEqual(["nas internal 15 ssh 127.0.0.1:2222 127.0.0.1:1 up -"]);
  });

  test("does not blame a tunnel that was restarted during the check, and restarts it the next time it fails", () => {
    tunnel({ 2222: `echo 1 >${join(runtime, "pid")}; ${refused}` });
    expect(watchdog("repair", ssh)).toMatchObject({
      said: ["<4>tunnel nas: forward 'ssh' on 127.0.0.1:2222 is down (was unknown): no connection"],
      tunnelIs: "alive",
    });
    tunnel({ 2222: refused });
    expect(watchdog("repair", ssh)).toMatchObject({ tunnelIs: "ended" });
  });

  test("leaves a tunnel alone that is connected and has only just requested its forwards", () => {
    tunnel({ 2222: refused });
    forwarding = "";
    expect(watchdog("repair", ssh)).toMatchObject({
      said: ["<4>tunnel nas: forward 'ssh' on 127.0.0.1:2222 is down (was unknown): no connection"],
      tunnelIs: "alive",
    });
    expect(watchdog("check", ssh).status).toBe(1);
  });

  test("also asks ssh twice before it treats it as hanging", () => {
    const once = join(folder, "once");
    const fake = (act: string) =>
      writeFileSync(
        join(folder, "bin/ssh"),
        `#!/bin/sh\ncase "$*" in *"-O check"*) touch -d @1 ${runtime}/pid; ${act} ;; *) ${banner} ;; esac\n`,
      );
    tunnel({});
    fake(`[ -e ${once} ] || { : >${once}; exit 124; }`);
    expect(watchdog("repair", ssh)).toMatchObject({ tunnelIs: "alive" });
    fake("exit 124");
    expect(watchdog("repair", ssh)).toMatchObject({ tunnelIs: "ended" });
  });

  test("only reports, if it runs as a check, whether the connection and each listener are up", () => {
    tunnel({ 2222: banner, 8080: silent });
    expect(watchdog("check", ssh, web)).toMatchObject({ status: 0, tunnelIs: "alive", said: [] });
    tunnel({ 2222: banner, 8080: refused });
    expect(watchdog("check", ssh, web)).toMatchObject({ status: 1, tunnelIs: "alive", said: [] });
    expect(existsSync(join(state, "state"))).toBe(false);
  });

  test("writes metrics that match the stored state", () => {
    tunnel({ 2222: banner, 8080: silent });
    watchdog("repair", ssh, web);
    const metrics = readFileSync(join(state, "ssh-tunnel-nas.prom"), "utf8");
    const samples = metrics.split("\n").filter((line) => /^[^#]/.test(line));
    const of = (forward: string) => `{tunnel="nas",forward="${forward}",side="internal"}`;
    expect(samples.map((line) => line.replace(/ \d{10}$/, " time"))).toEqual([
      `ssh_tunnel_up${of("ssh")} 1`,
      `ssh_tunnel_up${of("web")} 0`,
      `ssh_tunnel_down_info${of("web").replace("}", ',reason="target-down"}')} 1`,
      `ssh_tunnel_state_change_timestamp_seconds${of("ssh")} time`,
      `ssh_tunnel_state_change_timestamp_seconds${of("web")} time`,
      `ssh_tunnel_last_good_check_timestamp_seconds${of("ssh")} time`,
    ]);
  });
});
