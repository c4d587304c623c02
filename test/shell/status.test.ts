import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { runScript, shells, testScript } from "../support/shells.ts";

// The real program of the hosts, with folders of the test instead of /run and /etc/systemd/system.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "status-"));
  for (const each of ["run", "units", "lists"]) mkdirSync(join(folder, each));
  const text = readProgram("status");
  const own = text
    .replace("\nRUN=/run\n", `\nRUN=${join(folder, "run")}\n`)
    .replace("\nUNITS=/etc/systemd/system\n", `\nUNITS=${join(folder, "units")}\n`)
    .replace("\nLISTS=/etc/ssh-reverse-tunnel\n", `\nLISTS=${join(folder, "lists")}\n`);
  expect(own.length).toBeGreaterThan(text.length);
  writeFileSync(join(folder, "status"), own);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const now = () => Math.floor(Date.now() / 1000);
const rfc3339 = (seconds: number) => new Date(seconds * 1000).toISOString().replace(".000", "");

interface Line {
  forward?: string;
  state?: string;
  since?: number;
  checked?: number;
  good?: number | "-";
  reason?: string;
  interval?: number;
  /** When the key was made; absent as in the files of earlier versions. */
  made?: number | "-";
  connected?: number;
  /** Restarts, and of the connection: last seen, address, attempts since, the last of them. Absent as in earlier files. */
  connection?: (number | string)[];
}

/** A tunnel that a check of its stack watches, and the stored state. */
const check = (name: string, lines: Line[] | string, stack = "p-s") => {
  const units = `ssh-tunnels-${stack}-health`;
  for (const each of ["lists", "run"]) mkdirSync(join(folder, each, units), { recursive: true });
  writeFileSync(join(folder, "lists", units, name), "");
  const text =
    typeof lines === "string"
      ? lines
      : lines
          .map((line) => {
            const { forward = "ssh", state = "up", since = 1, checked = now() } = line;
            const connected = line.connected ?? "-";
            const fields = ["nas", "public", line.interval ?? 15, checked];
            fields.push(connected, forward, "127.0.0.1:2222");
            fields.push("127.0.0.1:22", state, since, line.good ?? checked, line.reason ?? "-");
            if (line.made !== undefined) fields.push(line.made);
            if (line.connection) fields.push(...line.connection);
            return `${fields.join("\t")}\n`;
          })
          .join("");
  writeFileSync(join(folder, "run", units, `${name}.state`), text);
};

interface Answer {
  tunnels: { tunnel: string; state: string; checked: string; forwards: Record<string, string | null>[] }[];
}

describe.each(shells)("ssh-tunnel-status in %s", (_name, shell) => {
  const run = (...args: string[]) => {
    const { stdout, stderr, status } = spawnSync(
      shell[0]!,
      [...shell.slice(1), join(folder, "status"), ...args],
      { encoding: "utf8" },
    );
    return { stdout, stderr, status };
  };
  const json = (...args: string[]) => JSON.parse(run("--json", ...args).stdout) as Answer;

  test("exits with 0 if everything is up, with 1 if something is not, and with 2 if there is nothing to report", () => {
    expect(run()).toMatchObject({ status: 2, stdout: "" });
    check("nas", [{}, { forward: "web" }]);
    expect(run().status).toBe(0);
    check("shop", [{ state: "down", reason: "no-listener" }]);
    expect(run().status).toBe(1);
    expect(run("nas").status).toBe(0);
    expect(run("nas", "none")).toMatchObject({
      status: 2,
      stderr: "ssh-tunnel-status: there is no tunnel 'none' on this host\n",
    });
    expect(run("--no-such-option").status).toBe(2);
    expect(run("--help")).toMatchObject({ status: 0, stderr: "" });
  });

  test("prints a table for people", () => {
    const at = now() - 7200;
    check("nas", [
      { since: at },
      { forward: "web", state: "down", since: at, good: "-", reason: "target-down" },
    ]);
    const [head, one, other] = run().stdout.split("\n");
    const since = rfc3339(at).replace("T", " ");
    expect(head).toBe(
      "TUNNEL  FORWARD  LISTENS         LEADS TO      STATE  SINCE                 LAST GOOD",
    );
    expect(one).toMatch(
      new RegExp(`^nas     ssh      127.0.0.1:2222  127.0.0.1:22  up     ${since}  [0-3] s ago$`),
    );
    expect(other).toBe(
      `nas     web      127.0.0.1:2222  127.0.0.1:22  down   ${since}  -          its target 127.0.0.1:22 does not answer`,
    );
  });

  test("shows a tunnel that is disabled, which is not a fault, whatever its check has found before", () => {
    check("nas", [{ state: "down", reason: "no-listener" }]);
    writeFileSync(
      join(folder, "lists/ssh-tunnels-p-s-health/nas"),
      "disabled\nssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback\n",
    );
    expect(run()).toEqual({
      status: 0,
      stderr: "",
      stdout:
        "TUNNEL  FORWARD  LISTENS  LEADS TO  STATE     SINCE  LAST GOOD\nnas     -        -        -         disabled  -      -\n",
    });
    expect(json().tunnels).toMatchObject([{ tunnel: "nas", state: "disabled", forwards: [] }]);
  });

  test("prints times in UTC in the format of RFC 3339, in every year", () => {
    const times = [
      0, 951_782_400, 1_709_164_799, 1_709_164_800, 1_735_689_599, 4_107_542_400, 32_503_680_000,
    ];
    check(
      "nas",
      times.map((since, index) => ({ forward: `f${index}`, since })),
    );
    expect(json().tunnels[0]!.forwards.map(({ since }) => since)).toEqual(times.map(rfc3339));
  });

  test("shows when the oldest key of a tunnel's logins was made, also beside files of earlier versions", () => {
    const made = now() - 10 * 86_400;
    check("nas", [{ made }, { forward: "web", made }]);
    check("none", [{ made: "-" }]);
    check("old", [{}]);
    expect(
      run()
        .stdout.split("\n")
        .filter((line) => line.includes("key")),
    ).toEqual(["logins to nas: oldest key made 10 d ago"]);
    const { tunnels } = JSON.parse(run("--json").stdout) as { tunnels: Record<string, unknown>[] };
    expect(tunnels.map(({ tunnel, keyCreated }) => [tunnel, keyCreated])).toEqual([
      ["nas", rfc3339(made)],
      ["none", null],
      ["old", null],
    ]);
  });

  test("shows since when a tunnel is connected or when it was last, from where, and whether it has tried since", () => {
    const seen = now() - 300;
    const down = { made: "-", state: "down", reason: "no-listener" } as const;
    const connection = ["-", seen, "2001:db8::7", 0, "-"];
    check("up", [{ made: "-", connected: seen, connection }, { forward: "web" }]);
    check("gone", [{ ...down, connection }]);
    check("tries", [{ ...down, connection: ["-", seen, "203.0.113.7", 14, now() - 180] }]);
    check("never", [{ ...down, connection: ["-", "-", "-", 1, now() - 180] }]);
    check("unknown", [{ ...down, connection: ["-", "-", "-", "-", "-"] }]);
    check("odd", [{ ...down, connection: ["$(id)", "x", 'a"\\', "y", "z"] }]);
    const lines = run().stdout.split("\n");
    const at = rfc3339(seen).replace("T", " ");
    expect(lines.slice(8).filter(Boolean).sort()).toEqual([
      `gone: last connected ${at} from 2001:db8::7; no attempt to log in since`,
      "never: no connection is known; 1 attempt since, the last 3 min ago",
      `tries: last connected ${at} from 203.0.113.7; 14 attempts since, the last 3 min ago`,
      `up: connected since ${at} from 2001:db8::7`,
    ]);
    const { tunnels } = JSON.parse(run("--json").stdout) as {
      tunnels: { tunnel: string; connection: unknown }[];
    };
    const connections = Object.fromEntries(tunnels.map(({ tunnel, connection }) => [tunnel, connection]));
    const known = { connectedSince: null, lastConnected: rfc3339(seen), address: "2001:db8::7" };
    expect(connections).toMatchObject({
      up: { ...known, connectedSince: rfc3339(seen), attemptsSince: 0, lastAttempt: null },
      gone: { ...known, attemptsSince: 0, lastAttempt: null },
      tries: { ...known, address: "203.0.113.7", attemptsSince: 14 },
      never: { connectedSince: null, lastConnected: null, address: null, attemptsSince: 1 },
      unknown: null,
      odd: null,
    });
  });

  test("gives the reason why a forward is down as a code for programs, and in words", () => {
    check("nas", [{ state: "down", reason: "nothing-back" }]);
    check("never", [{ checked: Number.NaN }]);
    const why = (tunnel: string) => json(tunnel).tunnels[0]!.forwards[0];
    expect(why("nas")).toMatchObject({ reason: "nothing comes back through it", code: "nothing-back" });
    expect(why("never")).toMatchObject({ reason: "its check has not run yet", code: "not-checked" });
  });

  test("does not report up what was not checked for three intervals, or never", () => {
    check("nas", [{ checked: now() - 44 }]);
    check("old", [{ checked: now() - 60 }]);
    check("future", [{ checked: now() + 3600 }]);
    check("never", "");
    check("seldom", [{ checked: now() - 60, interval: 300 }]);
    const states = Object.fromEntries(json().tunnels.map(({ tunnel, state }) => [tunnel, state]));
    expect(states).toEqual({ nas: "up", old: "unknown", future: "unknown", never: "unknown", seldom: "up" });
    const [never] = json("never").tunnels;
    expect(never).toMatchObject({ checked: null, forwards: [] });
    expect(json("old").tunnels[0]!.forwards[0]).toMatchObject({ state: "unknown", since: null });
    expect(run("old").status).toBe(1);
    expect(run("old").stdout).toMatch(/its check has not run for 6\d s$/m);
  });

  test("prints complete JSON, and a table that is safe for a terminal, whatever its files contain", () => {
    const odd = '"quoted" \\ \u001b[31m ü \u0007 $(id) `id` %s %n';
    check("nas", [{ state: "down", reason: odd }]);
    check("shop", "no\tfields\nat all\n\0\n");
    expect(json("nas").tunnels[0]!.forwards[0]).toMatchObject({ state: "down", reason: null, code: null });
    expect(json().tunnels).toHaveLength(1);
    expect(run().stdout).not.toMatch(/[^\n\x20-\x7e]/);
  });
});

describe("the installed ssh-tunnel-status", () => {
  /** As a tunnel of a stack; its output, without the paths. */
  const run = (verb: "apply" | "remove", tunnel = "nas", owner = "owner", program = "#!/bin/sh") => {
    const values = {
      ...{ OWNER: owner, RESOURCE: tunnel, FOLDER: folder, STATUS_PROGRAM: program },
      METRICS: join(folder, `run/ssh-tunnel-${tunnel}.prom`),
      METRICS_FOLDER: join(folder, "made/textfiles"),
    };
    return runScript(["sh"], testScript("installStatus", join(folder, "state"), values), verb);
  };
  const program = () => join(folder, "bin/ssh-tunnel-status");
  const link = (tunnel: string) => join(folder, `made/textfiles/ssh-tunnel-${tunnel}.prom`);

  test("is shared by several tunnels and stacks, and removed with the last of them, with the folders created for it", () => {
    const before = readdirSync(folder).sort();
    expect(run("apply").stderr).toContain(`wrote ${program()}`);
    expect(run("apply").stderr).toMatch(/^unchanged: /);
    expect(run("apply", "shop", "other").stderr).not.toContain(`wrote ${program()}`);
    writeFileSync(join(folder, "run/ssh-tunnel-nas.prom"), "up 1");
    expect(readFileSync(link("nas"), "utf8")).toBe("up 1");
    expect(readlinkSync(link("nas"))).toBe("../../run/ssh-tunnel-nas.prom");
    expect(run("remove").status).toBe(0);
    expect(existsSync(program())).toBe(true);
    expect(readdirSync(join(folder, "made/textfiles"))).toEqual(["ssh-tunnel-shop.prom"]);
    expect(run("remove", "shop", "other").status).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  test("is the one that the last apply installed, if stacks differ", () => {
    run("apply");
    expect(run("apply", "shop", "other", "#!/bin/sh\nnewer").stderr).toContain(`wrote ${program()}`);
    expect(readFileSync(program(), "utf8")).toBe("#!/bin/sh\nnewer\n");
  });

  test("does not replace another program of that name, and reports it", () => {
    mkdirSync(join(folder, "bin"));
    writeFileSync(program(), "mine");
    expect(run("apply").stderr).toContain(
      "exists already and is not ours; move it away and run 'pulumi up' again",
    );
    expect(readFileSync(program(), "utf8")).toBe("mine");
    expect(existsSync(join(folder, "state"))).toBe(false);
  });

  test("does not replace another file in the node_exporter's folder", () => {
    mkdirSync(join(folder, "made/textfiles"), { recursive: true });
    writeFileSync(link("nas"), "mine");
    expect(run("apply").stderr).toContain("exists already and is not ours");
    expect(readFileSync(link("nas"), "utf8")).toBe("mine");
  });
});
