import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
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

// The real program of the public host, with folders of the test instead of /etc, /run and /var/lib.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "notify-"));
  for (const each of ["lists", "states", "run", "disk"]) mkdirSync(join(folder, each));
  writeFileSync(join(folder, "notify"), readProgram("notify"));
  // What it is told, a line for each variable, and an empty one at the end.
  const command = `#!/bin/sh
for name in TUNNEL FORWARD STATE SINCE CODE REASON MESSAGE; do eval "echo $name=\\$$name"; done >>${folder}/told
echo >>${folder}/told
[ ! -e ${folder}/fails ] || { printf 'no \\033[31mway\\n' >&2; exit 7; }
`;
  writeFileSync(join(folder, "command"), command, { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ago = (seconds: number) => Math.floor(Date.now() / 1000) - seconds;

interface Forward {
  name?: string;
  state?: string;
  since?: number;
  reason?: string;
  checked?: number;
  interval?: number;
}
/** A tunnel that the health check looks at every 30 s, and what it has kept of each forward. */
const check = (tunnel: string, forwards: Forward[], list = "interval 30") => {
  const listed = forwards.map(({ name = "ssh" }) => `${name},127.0.0.1,2222,tcp,127.0.0.1,22\n`);
  writeFileSync(join(folder, "lists", tunnel), `${list}\n${listed.join("")}`);
  const lines = forwards.map(
    ({ name = "ssh", state = "up", since = ago(500), reason = "-", checked = ago(0), interval = 30 }) =>
      [
        tunnel,
        "public",
        interval,
        checked,
        "-",
        name,
        "127.0.0.1:2222",
        "127.0.0.1:22",
        state,
        since,
        "-",
        reason,
        "-",
      ].join("\t"),
  );
  writeFileSync(join(folder, "states", `${tunnel}.state`), lines.map((line) => `${line}\n`).join(""));
};
const told = () => join(folder, "run/told");
/** As if what has been seen and tried had been so much longer ago. */
const wait = (seconds: number) => {
  const lines = readFileSync(told(), "utf8").split("\n").filter(Boolean);
  const older = lines.map((line) =>
    line
      .split("\t")
      .map((f, i) => ((i === 5 || i === 7) && f !== "0" ? Number(f) - seconds : f))
      .join("\t"),
  );
  writeFileSync(told(), older.map((line) => `${line}\n`).join(""));
};

describe.each(shells)("notify in %s", (_name, shell) => {
  const run = (path = "") => {
    const args = [join(folder, "lists"), join(folder, "states"), "120", join(folder, "command")];
    const env = {
      PATH: `${path}:${process.env["PATH"]}`,
      RUNTIME_DIRECTORY: join(folder, "run"),
      STATE_DIRECTORY: join(folder, "disk"),
    };
    const ran = spawnSync(shell[0]!, [...shell.slice(1), join(folder, "notify"), ...args], {
      encoding: "utf8",
      env,
    });
    expect(ran.stderr).toBe("");
    const file = join(folder, "told");
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    rmSync(file, { force: true });
    const told = text
      .split("\n\n")
      .filter(Boolean)
      .map((each) =>
        Object.fromEntries(
          each.split("\n").map((line) => [line.split("=")[0]!, line.slice(line.indexOf("=") + 1)]),
        ),
      );
    return { told, status: ran.status, journal: ran.stdout };
  };
  const states = () => run().told.map(({ TUNNEL, FORWARD, STATE }) => [TUNNEL, FORWARD, STATE].join(" "));
  /** Once what there is now has lasted for longer than the delay. */
  const lasting = () => {
    expect(states()).toEqual([]);
    wait(130);
  };

  test("says nothing of tunnels that are up, when it begins", () => {
    check("nas", [{}]);
    lasting();
    expect(run()).toEqual({ told: [], status: 0, journal: "" });
  });

  test("tells once that a forward is down, with the reason, and once that it is up again", () => {
    const since = ago(130);
    const time = new Date(since * 1000).toISOString().replace(".000", "");
    check("nas", [{}, { name: "web", state: "down", since, reason: "taken:www-data" }]);
    lasting();
    const { told, status, journal } = run();
    const message = expect.stringContaining(
      `: tunnel nas: forward web is down: a program of 'www-data' has the port (since ${time})`,
    ) as string;
    expect(told).toEqual([
      {
        ...{ TUNNEL: "nas", FORWARD: "web", STATE: "down", SINCE: time, CODE: "taken" },
        ...{ REASON: "a program of 'www-data' has the port", MESSAGE: message },
      },
    ]);
    expect(status).toBe(0);
    expect(journal).toMatch(/^<5>told: .*: tunnel nas: forward web is down: .*\n$/);
    expect(states()).toEqual([]);
    check("nas", [{}, { name: "web" }]);
    lasting();
    expect(run().told).toMatchObject([{ FORWARD: "web", STATE: "up", CODE: "", REASON: "" }]);
    expect(states()).toEqual([]);
  });

  test("says nothing of what is over before the delay, in either direction", () => {
    const down = { state: "down", reason: "no-listener" };
    check("nas", [down]);
    expect(states()).toEqual([]);
    wait(60);
    expect(states()).toEqual([]);
    check("nas", [{}]);
    lasting();
    expect(states()).toEqual([]);
    check("nas", [down]);
    lasting();
    expect(states()).toEqual(["nas ssh down"]);
    check("nas", [{}]);
    expect(states()).toEqual([]);
    wait(60);
    expect(states()).toEqual([]);
    check("nas", [down]);
    lasting();
    expect(states()).toEqual([]);
  });

  test("goes by how long it has seen something itself, and not by times that a wrong clock has given", () => {
    check("nas", [{ state: "down", since: ago(100_000), reason: "no-listener" }]);
    expect(states()).toEqual([]);
    wait(110);
    expect(states()).toEqual([]);
    check("nas", [{ state: "down", since: ago(-100_000), reason: "no-listener" }]);
    wait(20);
    expect(states()).toEqual(["nas ssh down"]);
    // The clock is set, and the check has not run since: it will in a moment.
    check("nas", [{ state: "down", reason: "no-listener", checked: ago(100_000) }]);
    expect(states()).toEqual([]);
    check("nas", [{ state: "down", reason: "no-listener" }]);
    lasting();
    expect(states()).toEqual([]);
  });

  test("waits for a check that is due only every five minutes", () => {
    const late = [{ interval: 300, checked: ago(2000) }];
    check("nas", late);
    expect(states()).toEqual([]);
    wait(310);
    expect(states()).toEqual([]);
    wait(30);
    expect(run().told).toMatchObject([{ TUNNEL: "nas", STATE: "unknown" }]);
  });

  test("begins to wait again after a boot, and still knows what it has told", () => {
    const down = { state: "down", reason: "no-listener" };
    check("nas", [down, { name: "web" }]);
    lasting();
    expect(states()).toEqual(["nas ssh down"]);
    rmSync(told());
    check("nas", [down, { name: "web", ...down }]);
    expect(states()).toEqual([]);
    // As a boot leaves the times of before.
    wait(-100_000);
    lasting();
    expect(states()).toEqual(["nas web down"]);
  });

  test("tells in one message what has happened to several forwards of a tunnel for one reason", () => {
    const down = { state: "down", reason: "no-listener" };
    check("nas", [{ ...down }, { name: "web", ...down }, { name: "vnc", ...down, reason: "taken:root" }]);
    check("shop", [down]);
    lasting();
    expect(states().sort()).toEqual(["nas ssh web down", "nas vnc down", "shop ssh down"].sort());
  });

  test("tries again if the command fails, less and less often, and says so in the journal and by its status", () => {
    check("nas", [{ state: "down", reason: "no-listener" }]);
    writeFileSync(join(folder, "fails"), "");
    lasting();
    const { journal, status } = run();
    expect(status).toBe(75);
    expect(journal).toMatch(
      /^<4>could not tell '.* is down: nothing listens there': the command ended with status 7; it is tried again\n<4>the command said: no \[31mway\n$/,
    );
    expect(run()).toEqual({ told: [], status: 75, journal: "" });
    wait(31);
    expect(states()).toEqual(["nas ssh down"]);
    wait(31);
    expect(states()).toEqual([]);
    rmSync(join(folder, "fails"));
    wait(31);
    expect(run()).toMatchObject({ told: [{ STATE: "down" }], status: 0 });
    expect(states()).toEqual([]);
  });

  test("says what a tunnel is like now if nobody knows whether the last message has arrived", () => {
    const down = { state: "down", reason: "no-listener" };
    check("nas", [down]);
    lasting();
    writeFileSync(join(folder, "fails"), "");
    expect(run()).toMatchObject({ told: [{ STATE: "down" }], status: 75 });
    rmSync(join(folder, "fails"));
    check("nas", [{}]);
    expect(run()).toEqual({ told: [], status: 0, journal: "" });
    wait(130);
    expect(states()).toEqual(["nas ssh up"]);
    check("nas", [down]);
    lasting();
    writeFileSync(join(folder, "fails"), "");
    expect(states()).toEqual(["nas ssh down"]);
    rmSync(join(folder, "fails"));
    check("nas", [{}]);
    expect(states()).toEqual([]);
    check("nas", [down]);
    lasting();
    expect(states()).toEqual(["nas ssh down"]);
  });

  test("tells once if the disk is full, and says so", () => {
    rmSync(join(folder, "disk"), { recursive: true });
    const down = { state: "down", reason: "no-listener" };
    check("nas", [down]);
    expect(run().journal).toMatch(
      /^<4>cannot write to .* what has been told; after a boot it may be told again\n$/,
    );
    wait(130);
    expect(states()).toEqual(["nas ssh down"]);
    expect(run()).toEqual({ told: [], status: 0, journal: "" });
  });

  test("still knows what it has told of a forward that one check says nothing of", () => {
    const down = { state: "down", reason: "no-listener" };
    check("nas", [{}, { name: "web", ...down }]);
    lasting();
    expect(states()).toEqual(["nas web down"]);
    const file = join(folder, "states/nas.state");
    const both = readFileSync(file, "utf8");
    writeFileSync(file, both.split("\n")[0]! + "\n");
    expect(states()).toEqual([]);
    writeFileSync(file, both);
    expect(states()).toEqual([]);
    // Until it is no longer in the settings.
    check("nas", [{}]);
    expect(states()).toEqual([]);
    expect(readFileSync(told(), "utf8")).not.toContain("web");
  });

  test("tells in one message that tunnels are not checked any more, and then what they are when they are", () => {
    check("nas", [{ checked: ago(140) }]);
    check("shop", [{ state: "down", reason: "no-listener", checked: ago(150) }]);
    lasting();
    expect(run().told).toMatchObject([
      {
        TUNNEL: "nas shop",
        FORWARD: "",
        STATE: "unknown",
        CODE: "check-late",
        REASON: "its check does not run",
      },
    ]);
    expect(states()).toEqual([]);
    check("nas", [{}]);
    check("shop", [{ state: "down", reason: "no-listener" }]);
    lasting();
    expect(states().sort()).toEqual(["nas  up", "shop  down", "shop ssh down"]);
  });

  test("tells that a tunnel has not been checked since boot, but not before the check has had time to", () => {
    check("nas", []);
    lasting();
    expect(run().told).toMatchObject([{ TUNNEL: "nas", STATE: "unknown" }]);
  });

  test("forgets a tunnel that is disabled or removed", () => {
    check("nas", [{ state: "down", reason: "no-listener" }], "disabled");
    check("shop", [{}]);
    lasting();
    expect(states()).toEqual([]);
    rmSync(join(folder, "lists/shop"));
    expect(run()).toEqual({ told: [], status: 0, journal: "" });
    expect(readFileSync(told(), "utf8")).toBe("");
  });

  test("tells that a forward is down even if it does not know why", () => {
    check("nas", [{ state: "down", reason: "of a later version" }]);
    lasting();
    const { told } = run();
    expect(told).toMatchObject([{ STATE: "down", CODE: "", REASON: "" }]);
    expect(told[0]!["MESSAGE"]).toMatch(/: tunnel nas: forward ssh is down \(since /);
  });

  test("names its host without what would end a text in JSON", () => {
    writeFileSync(join(folder, "uname"), `#!/bin/sh\necho 'gate"\\n\\.example'\n`, { mode: 0o755 });
    check("nas", [{ state: "down", reason: "no-listener" }]);
    lasting();
    expect(run(folder).told[0]!["MESSAGE"]).toMatch(/^gate\.example: tunnel nas: /);
  });

  test("writes nothing to the disk while nothing happens", () => {
    check("nas", [{}, { name: "web", state: "down", since: ago(130), reason: "no-listener" }]);
    lasting();
    expect(states()).toEqual(["nas web down"]);
    const file = () => {
      const { ino, mtimeMs } = statSync(join(folder, "disk/told"));
      return [ino, mtimeMs, ...readdirSync(join(folder, "disk"))];
    };
    const before = file();
    expect(states()).toEqual([]);
    expect(file()).toEqual(before);
  });

  test("takes nothing from a file of states but names, codes and times", () => {
    check("nas", [
      { name: "$(reboot)", state: "down", since: ago(130) },
      { name: "ssh", state: "down; reboot", since: ago(130) },
      { name: "web", state: "down", since: ago(130), reason: "taken:'; reboot" },
    ]);
    lasting();
    expect(run().told).toMatchObject([{ FORWARD: "web", STATE: "down", CODE: "", REASON: "" }]);
  });
});
