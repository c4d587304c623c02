import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// The real program of a public host, with listeners of the test: what it finds, stores and prints.

let folder: string;
let lists: string;
let state: string;
/** Cleans up the test's listeners. */
let close: (() => void)[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "health-"));
  [lists, state] = [join(folder, "lists"), join(folder, "state")];
  for (const each of [lists, state]) mkdirSync(each);
  for (const program of ["health", "probe"]) {
    const text = readProgram(program).replaceAll("/etc/passwd", join(folder, "passwd"));
    writeFileSync(join(folder, program), text, { mode: 0o755 });
  }
  mkdirSync(join(folder, "bin"));
  const users = {
    root: 0,
    "tunnel-nas": 901,
    "tunnel-shop": 902,
    "tunnel-half": 903,
    "tunnel-seldom": 904,
    "www-data": 33,
  };
  writeFileSync(
    join(folder, "passwd"),
    Object.entries(users)
      .map(([name, uid]) => `${name}:x:${uid}:${uid}::/:/bin/sh\n`)
      .join(""),
  );
  there({ 4022: 901, 5000: 0, 5022: 904, 5023: 903 });
  close = [];
});
afterEach(() => {
  for (const each of close) each();
  rmSync(folder, { recursive: true, force: true });
});

/** What the kernel says of the listeners on 127.0.0.1, or at other addresses: the port, and whose it is. */
const there = (listeners: Record<string | number, number>) => {
  const lines = Object.entries(listeners).map(([at, uid]) => {
    const address = /:/.test(at) ? at : `127.0.0.1:${at}`;
    return `LISTEN 0 128 ${address} 0.0.0.0:* ${uid ? `uid:${uid} ` : ""}ino:1 sk:1 cgroup:/x <->`;
  });
  writeFileSync(
    join(folder, "bin/ss"),
    `#!/bin/sh\n[ "$*" = -Hltne ] && cat <<EOT\n${lines.join("\n")}\nEOT\n`,
    { mode: 0o755 },
  );
};

/** Listens, and does something with each connection; returns the port. */
const listen = async (act: (socket: Socket) => void) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => undefined));
    act(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  close.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
};
const banner = () => listen((socket) => socket.write("SSH-2.0-x\r\n"));
const silent = () => listen(() => undefined);
const closes = () => listen((socket) => socket.end());
/** Only root may listen there. */
const nobody = 1;

const forward = (name: string, port: number, probe?: string) =>
  [name, "127.0.0.1", port, "ssh", "127.0.0.1", 22, "loopback", ...(probe ? [probe] : [])].join(",");
const list = (tunnel: string, forwards: string[], interval: number | string = 30) =>
  writeFileSync(join(lists, tunnel), [`interval ${interval}`, ...forwards, ""].join("\n"));
const states = (tunnel: string) =>
  readFileSync(join(state, `${tunnel}.state`), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
/** The stored state, without the times. */
const kept = (tunnel: string) =>
  states(tunnel).map((fields) => [...fields.slice(0, 3), ...fields.slice(4, 9), fields[11]].join(" "));

// A hanging target is waited for, even on a busy machine.
describe.each(shells)("the health check in %s", { timeout: 60_000 }, (_name, shell) => {
  const look = (env: Record<string, string> = {}) =>
    new Promise<{ said: string[]; errors: string; status: number | null }>((resolve) => {
      const child = spawn(shell[0]!, [...shell.slice(1), join(folder, "health"), lists], {
        env: { PATH: `${join(folder, "bin")}:${process.env["PATH"]}`, RUNTIME_DIRECTORY: state, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [said, errors] = ["", ""];
      child.stdout.on("data", (text) => (said += text));
      child.stderr.on("data", (text) => (errors += text));
      child.on("close", (status) => resolve({ said: said.split("\n").filter(Boolean), errors, status }));
    });

  test("finds the state of each forward of each tunnel, stores it, and reports each change once", async () => {
    there({ 4022: 901, "0.0.0.0:4080": 901, "[::]:4080": 901, 5000: 33, 5022: 902 });
    list("nas", ["web,127.0.0.1,4080,tcp,127.0.0.1,22,all", forward("ssh", 4022)]);
    list("shop", [
      forward("other", 4022),
      forward("squatted", 5000),
      forward("none", 5001),
      forward("ssh", 5022),
      forward("unwatched", 5002, "none"),
    ]);
    const down = (name: string, port: number, why: string) =>
      `<4>tunnel shop: forward '${name}' on 127.0.0.1:${port} is down (was unknown): ${why}`;
    expect((await look()).said).toEqual([
      `<5>tunnel nas: forward 'ssh' on 127.0.0.1:4022 is up (was unknown)`,
      `<5>tunnel nas: forward 'web' on *:4080 is up (was unknown)`,
      down("none", 5001, "nothing listens there"),
      down("other", 4022, "a program of 'tunnel-nas' has the port"),
      down("squatted", 5000, "a program of 'www-data' has the port"),
      `<5>tunnel shop: forward 'ssh' on 127.0.0.1:5022 is up (was unknown)`,
    ]);
    expect(kept("nas")).toEqual([
      `nas public 30 - ssh 127.0.0.1:4022 127.0.0.1:22 up -`,
      `nas public 30 - web *:4080 127.0.0.1:22 up -`,
    ]);
    expect(kept("shop").map((line) => line.split(" ").at(-1))).toEqual([
      "no-listener",
      "taken:tunnel-nas",
      "taken:www-data",
      "-",
    ]);
    const since = states("nas")[0]![9];
    there({ 4022: 901, "0.0.0.0:4080": 901, "[::]:4080": 901, 5001: 902 });
    list("shop", [forward("none", 5001)]);
    expect(await look()).toEqual({
      said: [`<5>tunnel shop: forward 'none' on 127.0.0.1:5001 is up (was down)`],
      errors: "",
      status: 0,
    });
    expect(states("nas")[0]![9]).toBe(since);
  });

  test.each<[string, string, Record<string, number>, string]>([
    ["up on all addresses", "all", { "0.0.0.0:70": 901, "[::]:70": 901 }, "-"],
    ["up on IPv4 where there is only that", "all", { "0.0.0.0:70": 901 }, "-"],
    ["down if another has IPv4", "all", { "0.0.0.0:70": 0, "[::]:70": 901 }, "taken:root"],
    ["down if another has IPv6", "all", { "0.0.0.0:70": 901, "[::]:70": 33 }, "taken:www-data"],
    ["up on all addresses as ss(8) shows it in a sandbox", "all", { "0.0.0.0:70": 901, "*:70": 901 }, "-"],
    ["down if another has IPv4, in a sandbox", "all", { "0.0.0.0:70": 0, "*:70": 901 }, "taken:root"],
    ["down if another has IPv6, in a sandbox", "all", { "0.0.0.0:70": 901, "*:70": 33 }, "taken:www-data"],
    ["down if another has both", "all", { "*:70": 0 }, "taken:root"],
    ["down if another has one address", "all", { "[2001:db8::1]:70": 0 }, "taken:root"],
    ["up at 0.0.0.0 whoever has IPv6", "0.0.0.0", { "0.0.0.0:70": 901, "[::]:70": 0 }, "-"],
    ["up at :: whoever has IPv4", "::", { "0.0.0.0:70": 0, "[::]:70": 901 }, "-"],
    ["up at one address", "192.0.2.1", { "192.0.2.1:70": 901, "192.0.2.2:70": 0 }, "-"],
    ["down at one address", "192.0.2.1", { "192.0.2.2:70": 901 }, "no-listener"],
    ["up at an address however it is written", "2001:DB8:0::0001", { "[2001:db8::1]:70": 901 }, "-"],
    ["down if a user without a name has it", "loopback", { "127.0.0.1:70": 12345 }, "taken:12345"],
  ])("a forward is %s", async (_name, listen, listeners, reason) => {
    there(listeners);
    list("nas", [`x,127.0.0.1,70,tcp,127.0.0.1,22,${listen}`]);
    await look();
    expect(states("nas")[0]![11]).toBe(reason);
  });

  test("connects to nothing, except for a banner with the probe 'banner'", async () => {
    let connections = 0;
    const counts = await listen((socket) => {
      connections++;
      socket.write("SSH-2.0-x\r\n");
    });
    const dead = await closes();
    there({ [counts]: 901, [dead]: 901 });
    list("nas", [forward("ssh", counts), forward("dead", dead)]);
    await look();
    expect(kept("nas").map((line) => line.split(" ").at(-1))).toEqual(["-", "-"]);
    expect(connections).toBe(0);
    list("nas", [
      forward("ssh", counts, "banner"),
      forward("dead", dead, "banner"),
      forward("no", nobody, "banner"),
    ]);
    await look();
    expect(kept("nas").map((line) => line.split(" ").at(-1))).toEqual(["nothing-back", "no-listener", "-"]);
    expect(connections).toBe(1);
  });

  test("says nothing if it cannot see any listener", async () => {
    list("nas", [forward("ssh", 4022)]);
    await look();
    const before = readFileSync(join(state, "nas.state"), "utf8");
    writeFileSync(join(folder, "bin/ss"), "#!/bin/sh\nexit 1\n");
    expect((await look()).said).toEqual([]);
    expect(readFileSync(join(state, "nas.state"), "utf8")).toBe(before);
  });

  test("writes metrics for each tunnel that match the stored state", async () => {
    list("nas", ["made 1760000000", forward("ssh", 4022)]);
    list("shop", [forward("none", 5000)]);
    await look();
    const samples = (tunnel: string) =>
      readFileSync(join(state, `ssh-tunnel-${tunnel}.prom`), "utf8")
        .split("\n")
        .filter((line) => /^[^#]/.test(line))
        .map((line) => line.replace(/ \d{10}$/, " time"));
    const labels = (tunnel: string, name: string) => `tunnel="${tunnel}",forward="${name}",side="public"`;
    const check = (tunnel: string) => [
      `ssh_tunnel_check_timestamp_seconds{tunnel="${tunnel}",side="public"} time`,
      `ssh_tunnel_check_interval_seconds{tunnel="${tunnel}",side="public"} 30`,
    ];
    expect(samples("nas")).toEqual([
      ...check("nas"),
      `ssh_tunnel_up{${labels("nas", "ssh")}} 1`,
      `ssh_tunnel_state_change_timestamp_seconds{${labels("nas", "ssh")}} time`,
      `ssh_tunnel_last_good_check_timestamp_seconds{${labels("nas", "ssh")}} time`,
      'ssh_tunnel_key_created_timestamp_seconds{tunnel="nas",side="public"} time',
    ]);
    expect(states("nas").map((fields) => fields[12])).toEqual(["1760000000"]);
    expect(samples("shop")).toEqual([
      ...check("shop"),
      `ssh_tunnel_up{${labels("shop", "none")}} 0`,
      `ssh_tunnel_down_info{${labels("shop", "none")},reason="taken"} 1`,
      `ssh_tunnel_state_change_timestamp_seconds{${labels("shop", "none")}} time`,
    ]);
  });

  /** Makes it appear that a tunnel was last checked this many seconds ago. */
  const lookedAt = (tunnel: string, secondsAgo: number) => {
    const then = Math.floor(Date.now() / 1000) - secondsAgo;
    const text = states(tunnel).map((fields) => [...fields.slice(0, 3), then, ...fields.slice(4)].join("\t"));
    writeFileSync(join(state, `${tunnel}.state`), `${text.join("\n")}\n`);
    return String(then);
  };

  test("checks each tunnel in the run that is nearest to its time, and the tunnel with the shortest interval in every run", async () => {
    list("often", [forward("ssh", 5021)], 30);
    list("seldom", [forward("ssh", 5022)], 300);
    await look();
    const checked = () => ["often", "seldom"].map((tunnel) => states(tunnel)[0]![3]);
    let before = [lookedAt("often", 5), lookedAt("seldom", 270)];
    await look();
    expect(checked()).toEqual([expect.not.stringMatching(before[0]!), before[1]]);
    before = [lookedAt("often", 5), lookedAt("seldom", 290)];
    await look();
    expect(checked()[1]).not.toBe(before[1]);
    // Somebody has set the clock back.
    before = [lookedAt("often", 5), lookedAt("seldom", -3600)];
    await look();
    expect(checked()[1]).not.toBe(before[1]);
  });

  test("checks a tunnel with a new list at once, even if the list arrives during a check", async () => {
    list("often", [forward("ssh", 5021)], 30);
    list("seldom", [forward("ssh", 5022)], 86_400);
    await look();
    list("seldom", [forward("other", 5022)], 86_400);
    // It came right after the run had begun: the states are newer.
    const begun = new Date(Date.now() - 60_000);
    utimesSync(join(state, "started"), begun, begun);
    const soon = new Date(Date.now() - 59_000);
    utimesSync(join(lists, "seldom"), soon, soon);
    await look();
    expect(kept("seldom")).toEqual([`seldom public 86400 - other 127.0.0.1:5022 127.0.0.1:22 up -`]);
  });

  test("checks the other tunnels if it cannot read one list, and reads only the lists", async () => {
    const ssh = 4022;
    for (const [name, text] of Object.entries({
      empty: "",
      garbage: "\0\xff\n\n,,,\n".repeat(1000),
      never: "interval 0\n",
      none: "interval\nssh,127.0.0.1,1,ssh,127.0.0.1,22,loopback\n",
      "nas~": `interval 30\n${forward("ssh", 5001)}\n`,
      ".nas.ssh-reverse-tunnel": `interval 30\n${forward("ssh", 5001)}\n`,
    }))
      writeFileSync(join(lists, name), text);
    mkdirSync(join(lists, "a-folder"));
    list("half", ["", "ssh", "ssh,127.0.0.1", "x,127.0.0.1,$(id),ssh", forward("ssh", 5023)]);
    list("nas", [forward("ssh", ssh)]);
    list("secret", [forward("ssh", ssh)]);
    chmodSync(join(lists, "secret"), 0);
    expect((await look()).status).toBe(0);
    expect(kept("half")).toEqual([`half public 30 - ssh 127.0.0.1:5023 127.0.0.1:22 up -`]);
    expect(kept("nas")).toEqual([`nas public 30 - ssh 127.0.0.1:${ssh} 127.0.0.1:22 up -`]);
    const found = readdirSync(state).filter((name) => /\.state$/.test(name));
    expect(found.filter((name) => name !== "secret.state")).toEqual(["half.state", "nas.state"]);
  });

  test("does nothing if there is no tunnel", async () => {
    expect(await look()).toEqual({ said: [], errors: "", status: 0 });
    expect(readdirSync(state).filter((name) => name !== "new")).toEqual([]);
  });

  test("leaves the stored state as it is if it cannot find the new one", async () => {
    const ssh = 4022;
    list("nas", [forward("ssh", ssh)]);
    await look();
    const before = readFileSync(join(state, "nas.state"), "utf8");
    writeFileSync(join(folder, "probe"), "");
    list("nas", [forward("ssh", 4022, "banner")]);
    expect((await look()).said).toEqual([]);
    expect(readFileSync(join(state, "nas.state"), "utf8")).toBe(before);
  });

  test("stores from a result no more than a state and a reason for each forward that it knows", async () => {
    there({ 5001: 901 });
    list("nas", [forward("ssh", 5001, "banner"), forward("web", 5001, "banner")]);
    writeFileSync(
      join(folder, "probe"),
      `printf '%s\\t%s\\t%s\\n' nas ssh - nas ssh no-listener nas web 'a reason' nas other - shop ssh - ../x ssh - '' '' ''
       printf '\\n\\n\\t\\t\\t\\n%s\\n' "$(head -c 100000 /dev/zero | tr '\\0' x)"\n`,
    );
    expect((await look()).said).toEqual([
      `<5>tunnel nas: forward 'ssh' on 127.0.0.1:5001 is up (was unknown)`,
    ]);
    expect(readdirSync(state).sort()).toEqual(["nas.state", "new", "ssh-tunnel-nas.prom", "started"]);
  });

  test("removes what an interrupted run has left, without using it", async () => {
    const ssh = 4022;
    list("nas", [forward("ssh", ssh)]);
    mkdirSync(join(state, "new"));
    writeFileSync(join(state, "new/gone.state"), "x");
    await look();
    expect(existsSync(join(state, "gone.state"))).toBe(false);
    expect(readdirSync(join(state, "new"))).toEqual([]);
  });
});

describe("the program that the health check connects with", { timeout: 60_000 }, () => {
  /** The program, with other limits. */
  const probe = (input: string, limits: Record<string, number> = {}) => {
    const text = Object.entries(limits).reduce(
      (all, [name, value]) => all.replace(new RegExp(`^${name}=\\d+$`, "m"), `${name}=${value}`),
      readProgram("probe"),
    );
    writeFileSync(join(folder, "probe"), text);
    return new Promise<string[]>((resolve) => {
      const child = spawn("bash", [join(folder, "probe")], { stdio: ["pipe", "pipe", "ignore"] });
      let found = "";
      child.stdout.on("data", (part) => (found += part));
      child.on("close", () => resolve(found.split("\n").filter(Boolean).sort()));
      child.stdin.end(input);
    });
  };

  test("checks all forwards, but only a limited number at once", async () => {
    let [now, most] = [0, 0];
    const port = await listen((socket) => {
      most = Math.max(most, ++now);
      setTimeout(() => {
        now--; // it has what it waits for
        socket.write("SSH-2.0-x\r\n");
      }, 20);
    });
    const names = Array.from({ length: 20 }, (_, index) => `f${index}`);
    const found = await probe(names.map((name) => `nas ${name} 127.0.0.1 ${port}\n`).join(""), {
      most: 3,
    });
    expect(found).toEqual(names.map((name) => `nas\t${name}\t-`).sort());
    expect(most).toBeLessThanOrEqual(3);
  });

  test("does not wait for one that hangs, and reports what it has found about the others", async () => {
    const [hangs, answers] = [await silent(), await banner()];
    expect(
      await probe(`nas ssh 127.0.0.1 ${hangs}\nshop ssh 127.0.0.1 ${answers}\n`, { longest: 30 }),
    ).toEqual(["nas\tssh\tnothing-back", "shop\tssh\t-"]);
  });
});
