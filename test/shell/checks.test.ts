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

/** What evict-stale says of the listeners on the public host; undefined where it says nothing, or what else ssh does. */
let listening: string[] | undefined;
/** The ports that the public host grants when it is asked. */
let granted: number[];
/** What else the public host runs at a login. */
let rc: string;
/** What ssh was asked to do over the tunnel's connection: "forward 2222", "cancel 2222", "listeners". */
const asked = () => {
  const lines = readFileSync(join(folder, "asked"), "utf8").split("\n").filter(Boolean);
  writeFileSync(join(folder, "asked"), "");
  return lines;
};
const tunnel = (act = ":") => {
  const fake = join(folder, "bin/ssh");
  const ports = granted.map((port) => `*:${port}:*`).join(" | ");
  const grants = ports && `${ports}) exit 0 ;;`;
  writeFileSync(join(folder, "listening"), listening?.map((line) => `${line}\n`).join("") ?? "");
  writeFileSync(
    fake,
    `#!/bin/sh
${act}
case "$*" in
  *"-O check"*) exit 0 ;;
  *" listeners") echo listeners >>${folder}/asked; ${rc}; ${listening ? `echo listeners; cat ${folder}/listening` : ""} ;;
  *"-O "*)
    echo "$*" | sed -E 's/.*-O ([a-z]+) -R .*:([0-9]+):[^:]*:[0-9]* .*/\\1 \\2/' >>${folder}/asked
    case "$*" in *"-O cancel"*) exit 0 ;; ${grants} esac
    exit 255 ;;
esac
`,
  );
  chmodSync(fake, 0o755);
};

/** The target is never there: only root may listen on its port. */
const ssh = "ssh,127.0.0.1,2222,ssh,127.0.0.1,1,loopback";
const web = "web,::1,8080,tcp,127.0.0.1,1,all";
const both = ["127.0.0.1 2222 -", "0.0.0.0 8080 -", "[::] 8080 -"];
beforeEach(() => {
  [listening, granted, rc] = [both, [2222, 8080], ":"];
  writeFileSync(join(folder, "asked"), "");
});

/** Runs the program next to a process called ssh; returns its output, and whether that process lives. */
const script = `
  mkdir -p "$1/held" && cp "$(command -v sleep)" "$1/held/ssh"
  "$1/held/ssh" 60 & pid=$!
  echo $pid >"$1/runtime/pid"
  [ "$CONNECTION" = another ] || sed -i "1s/^[0-9]*/$pid/" "$1/runtime/listeners" 2>/dev/null
  for file in control $FORWARDING; do [ -e "$1/runtime/$file" ] || : >"$1/runtime/$file"; done
  while ! grep -q '^Name:[[:space:]]*ssh$' /proc/$pid/status; do :; done
  shift
  "$@"; status=$?
  kill -0 $pid 2>/dev/null && echo alive || echo ended
  kill $pid 2>/dev/null
  exit $status`;

describe.each(shells)("the watchdog in %s", (_name, shell) => {
  /** What the tunnel writes once it has its forwards. */
  let forwarding: string;
  /** Whether the next check finds the same connection, although its process is another one. */
  let connection: "same" | "another";
  beforeEach(() => {
    connection = "same";
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
        CONNECTION: connection,
        KEY_MADE: "1760000000",
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

  const up = (name: string, listens: string, was = "unknown") =>
    `<5>tunnel nas: forward '${name}' on ${listens} is up (was ${was})`;
  const down = (name: string, listens: string, why: string, was = "unknown") =>
    `<4>tunnel nas: forward '${name}' on ${listens} is down (was ${was}): ${why}`;
  const [atSsh, atWeb] = ["127.0.0.1:2222", "*:8080"];

  test("records what works, reports it once, and resets the back-off of the tunnel's restarts", () => {
    tunnel();
    writeFileSync(join(runtime, "down-since"), "");
    expect(watchdog("repair", ssh).said).toEqual([up("ssh", atSsh)]);
    expect(kept()).toEqual(["nas internal 15 ssh 127.0.0.1:2222 127.0.0.1:1 up -"]);
    expect(existsSync(join(runtime, "down-since"))).toBe(false);
    expect(watchdog("repair", ssh)).toMatchObject({ said: [], tunnelIs: "alive" });
  });

  test("asks the public host what listens only once in each connection, and connects to no target", () => {
    tunnel();
    watchdog("repair", ssh, web);
    expect(asked()).toEqual(["listeners", "forward 2222", "forward 8080"]);
    expect(watchdog("repair", ssh, web).said).toEqual([]);
    expect(asked()).toEqual(["forward 2222", "forward 8080"]);
    connection = "another";
    watchdog("repair", ssh, web);
    expect(asked()).toEqual(["listeners", "forward 2222", "forward 8080"]);
  });

  test("asks again for a forward that is missing, and leaves the tunnel alone even if that is refused", () => {
    granted = [2222];
    listening = both.slice(0, 1);
    tunnel();
    const missing = watchdog("repair", ssh, web);
    expect(missing.said).toEqual([up("ssh", atSsh), down("web", atWeb, "nothing listens there")]);
    expect(missing.tunnelIs).toBe("alive");
    expect(watchdog("repair", ssh, web)).toMatchObject({ said: [], tunnelIs: "alive" });
    [granted, listening] = [[2222, 8080], both];
    tunnel();
    expect(watchdog("repair", ssh, web).said).toEqual([up("web", atWeb, "down")]);
  });

  test.each([
    ["on its one address", ssh, ["127.0.0.1 2222 root"]],
    ["on all addresses", ssh, ["* 2222 root"]],
    ["on IPv4 while it listens on IPv6 itself", web, ["0.0.0.0 8080 root", "[::] 8080 -"]],
    ["on IPv6 while it listens on IPv4 itself", web, ["0.0.0.0 8080 -", "[::] 8080 root"]],
    ["on one of all addresses", web, ["127.0.0.1 8080 root"]],
    [
      "on its address, written otherwise",
      "x,2001:DB8::0:1,9000,tcp,127.0.0.1,1,2001:DB8::0:1",
      ["[2001:db8::1] 9000 root"],
    ],
  ])(
    "says who has the port %s, does not ask for it until that has ended, and then for all of it",
    (_where, forward, there) => {
      const port = Number(forward.split(",")[2]);
      listening = there;
      tunnel();
      const { said, tunnelIs } = watchdog("repair", forward);
      expect(said).toEqual([
        expect.stringMatching(/^<4>.* is down \(was unknown\): a program of 'root' has the port$/),
      ]);
      expect(tunnelIs).toBe("alive");
      expect(asked()).toEqual(["listeners"]);
      listening = there.filter((line) => line.endsWith("-")).concat(["[::1] 9999 -"]);
      granted = [port];
      tunnel();
      expect(watchdog("repair", forward).said).toEqual([expect.stringContaining("is up (was down)")]);
      expect(asked()).toEqual(["listeners", `cancel ${port}`, `forward ${port}`]);
    },
  );

  test("finds the answer behind whatever else the public host prints at a login", () => {
    listening = ["127.0.0.1 2222 root"];
    rc = 'echo "Welcome!"; echo "127.0.0.1 2222 -"';
    tunnel();
    expect(watchdog("repair", ssh).said).toEqual([down("ssh", atSsh, "a program of 'root' has the port")]);
  });

  test("needs no answer: what sshd has granted is up", () => {
    listening = undefined;
    granted = [2222];
    tunnel();
    const { said } = watchdog("repair", ssh, web);
    expect(said).toEqual([up("ssh", atSsh), down("web", atWeb, "nothing listens there")]);
  });

  test("still believes what it was told if there is no answer later in that connection", () => {
    listening = ["127.0.0.1 2222 root"];
    tunnel();
    expect(watchdog("repair", ssh).said).toEqual([down("ssh", atSsh, "a program of 'root' has the port")]);
    listening = undefined;
    expect(watchdog("repair", ssh).said).toEqual([]);
    expect(asked().at(-1)).toBe("listeners");
  });

  test("asks only once for a listener that sshd grants again and again, and then reports it", () => {
    listening = ["[::] 1 -"];
    tunnel();
    expect(watchdog("repair", ssh).said).toEqual([up("ssh", atSsh)]);
    expect(asked()).toEqual(["listeners", "cancel 2222", "forward 2222"]);
    for (const said of [[down("ssh", atSsh, "nothing listens there", "up")], []]) {
      expect(watchdog("repair", ssh)).toMatchObject({ said, tunnelIs: "alive" });
      expect(asked()).toEqual(["listeners"]);
    }
  });

  test("looks at a target only with the probe 'banner', and leaves the tunnel alone if that is down", () => {
    tunnel();
    const { said, tunnelIs } = watchdog("repair", `${ssh},banner`, web);
    expect(said).toEqual([down("ssh", atSsh, "its target 127.0.0.1:1 does not answer"), up("web", atWeb)]);
    expect(tunnelIs).toBe("alive");
    expect(watchdog("repair", `${ssh},banner`, web)).toMatchObject({ said: [], tunnelIs: "alive" });
  });

  test("reports nothing of a forward with the probe 'none', but asks for it as well", () => {
    tunnel();
    expect(watchdog("repair", ssh, `${web},none`).said).toEqual([up("ssh", atSsh)]);
    expect(asked()).toContain("forward 8080");
    expect(watchdog("check", `${web},none`).status).toBe(0);
  });

  test("takes from the public host no more than it knows", () => {
    listening = [
      "127.0.0.1 2222 <0>evil\u001b",
      "127.0.0.1 2222 root evil",
      "127.0.0.1 2222",
      "\u0000".repeat(1000),
    ];
    tunnel();
    for (const line of watchdog("repair", ssh).said) expect(line).toMatch(/^<[45]>tunnel nas: [ -~]*$/);
    expect(readFileSync(join(state, "state"), "utf8")).not.toMatch(/evil/);
  });

  test("does not blame a tunnel that was restarted during the check", () => {
    granted = [];
    tunnel(`case "$*" in *"-O forward"*) echo 1 >${join(runtime, "pid")} ;; esac`);
    expect(watchdog("repair", ssh)).toMatchObject({
      said: [down("ssh", atSsh, "no connection")],
      tunnelIs: "alive",
    });
  });

  test("leaves a tunnel alone that is connected and has only just requested its forwards", () => {
    granted = [];
    tunnel();
    forwarding = "";
    expect(watchdog("repair", ssh)).toMatchObject({
      said: [down("ssh", atSsh, "no connection")],
      tunnelIs: "alive",
    });
    expect(asked()).toEqual([]);
    expect(watchdog("check", ssh).status).toBe(1);
  });

  /** ssh has been there for long, and its control socket does this. */
  const control = (act: string) =>
    tunnel(`case "$*" in *"-O check"*) touch -d @1 ${runtime}/pid; ${act} ;; esac`);

  test("asks ssh twice before it treats it as hanging, and ends it only once for that", () => {
    const once = join(folder, "once");
    control(`[ -e ${once} ] || { : >${once}; exit 124; }`);
    expect(watchdog("repair", ssh)).toMatchObject({ tunnelIs: "alive" });
    writeFileSync(join(runtime, "down-since"), "");
    control("exit 124");
    expect(watchdog("repair", ssh)).toMatchObject({
      said: [down("ssh", atSsh, "ssh does not answer on its control socket; restarting the tunnel", "up")],
      tunnelIs: "ended",
    });
    expect(existsSync(join(runtime, "down-since"))).toBe(true);
    tunnel(`case "$*" in *"-O check"*) touch -d '1 minute ago' ${runtime}/pid; exit 124 ;; esac`);
    expect(watchdog("repair", ssh)).toMatchObject({ said: [], tunnelIs: "alive" });
  });

  test("only reports, if it runs as a check, whether the connection and each listener are up", () => {
    tunnel();
    expect(watchdog("check", ssh, web)).toMatchObject({ status: 0, tunnelIs: "alive", said: [] });
    granted = [2222];
    tunnel();
    expect(watchdog("check", ssh, web)).toMatchObject({ status: 1, tunnelIs: "alive", said: [] });
    expect(existsSync(join(state, "state"))).toBe(false);
  });

  test("writes metrics that match the stored state", () => {
    listening = ["127.0.0.1 2222 -", "* 8080 root"];
    tunnel();
    writeFileSync(join(folder, "bin/systemctl"), "#!/bin/sh\necho 12\n", { mode: 0o755 });
    watchdog("repair", ssh, web);
    const metrics = readFileSync(join(state, "ssh-tunnel-nas.prom"), "utf8");
    const samples = metrics.split("\n").filter((line) => /^[^#]/.test(line));
    const of = (forward: string) => `{tunnel="nas",forward="${forward}",side="internal"}`;
    expect(samples.map((line) => line.replace(/ \d{10}$/, " time"))).toEqual([
      'ssh_tunnel_check_timestamp_seconds{tunnel="nas",side="internal"} time',
      'ssh_tunnel_check_interval_seconds{tunnel="nas",side="internal"} 15',
      `ssh_tunnel_up${of("ssh")} 1`,
      `ssh_tunnel_up${of("web")} 0`,
      `ssh_tunnel_down_info${of("web").replace("}", ',reason="taken"}')} 1`,
      `ssh_tunnel_state_change_timestamp_seconds${of("ssh")} time`,
      `ssh_tunnel_state_change_timestamp_seconds${of("web")} time`,
      `ssh_tunnel_last_good_check_timestamp_seconds${of("ssh")} time`,
      'ssh_tunnel_key_created_timestamp_seconds{tunnel="nas",side="internal"} time',
      'ssh_tunnel_connected_since_timestamp_seconds{tunnel="nas",side="internal"} time',
      'ssh_tunnel_restarts_total{tunnel="nas",side="internal"} 12',
    ]);
    expect(metrics).toContain("# TYPE ssh_tunnel_restarts_total counter\n");
    expect(metrics).toContain('side="internal"} 1760000000\n');
  });

  test("keeps no time of the account's that is no time, which a node_exporter would not read", () => {
    tunnel();
    writeFileSync(join(folder, "bin/stat"), `#!/bin/sh\necho ${"9".repeat(400)}\n`, { mode: 0o755 });
    watchdog("repair", ssh);
    expect(kept()).toEqual(["nas internal 15 ssh 127.0.0.1:2222 127.0.0.1:1 up -"]);
    expect(readFileSync(join(state, "ssh-tunnel-nas.prom"), "utf8")).not.toContain("9".repeat(12));
  });
});
