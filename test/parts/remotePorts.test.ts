import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ForwardArgs } from "../../components/index.ts";
import type { Forward } from "../../components/settings/forward.ts";
import { resolveForward } from "../../components/settings/forward.ts";
import {
  resolveRange,
  portInVisit,
  portsFrom,
  randomStarts,
  remotePorts,
} from "../../components/parts/remotePorts/remotePorts.ts";
import { gate } from "../support/hosts.ts";
import { onePart } from "../support/onePart.ts";
import { record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { ourScript, runScript, shells } from "../support/shells.ts";

const ssh = resolveForward("ssh", { remotePort: 2222, target: 22 });
const auto = (args: Partial<ForwardArgs> = {}) =>
  resolveForward("web", { remotePort: "auto", target: 80, ...args });
const portRange = { first: 20000, last: 29999 };

/** Their part, and the ports from its output, as in a tunnel. */
const look = (forwards: Forward[], range = portRange) => {
  const starts = randomStarts(forwards, range, (forward) => `nas-port-${forward}`, {});
  const part = remotePorts({ account: "tunnel-nas", forwards, starts, portRange: range });
  const ports = portsFrom(gate, onePart("nas-ports", gate, part).stdout, {
    forwards,
    portRange: range,
    starts,
  });
  return Promise.all(ports.map(promiseOf));
};

describe("remote ports", () => {
  test("are a part with one word for each forward if the settings name them", async () => {
    const all = resolveForward("web", { remotePort: 8080, target: 80, listen: "all" });
    const recording = await record(() => look([ssh, all]));
    expect(recording.command("nas-ports").parts).toEqual([
      {
        script: "remotePorts",
        values: {
          ACCOUNT: "tunnel-nas",
          FORWARDS: "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,8080,tcp,127.0.0.1,80,all",
          RANGE: "20000 29999",
        },
      },
    ]);
  });

  test("begin, if chosen automatically, at a random place of the range, which is a resource and so stays the same", async () => {
    const recording = await record(() => look([ssh, auto()]));
    const resources = recording.resources.map(({ name }) => name);
    expect(resources.sort()).toEqual(["nas-port-web", "nas-ports"]);
    expect(recording.resources.find(({ name }) => name === "nas-port-web")?.inputs).toEqual({
      min: 20000,
      max: 29999,
    });
    expect(recording.command("nas-ports").values.FORWARDS).toBe(
      "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,auto:20345,tcp,127.0.0.1,80,loopback",
    );
  });

  test("are chosen from the public host's range", async () => {
    const forwards = [auto({ listen: "198.18.0.2" })];
    const recording = await record(() => look(forwards, { first: 3000, last: 3999 }));
    expect(recording.command("nas-ports").values).toMatchObject({
      FORWARDS: "web,198.18.0.2,auto:3345,tcp,127.0.0.1,80,198.18.0.2",
      RANGE: "3000 3999",
    });
    expect(recording.result).toEqual([3345]);
  });

  test("cannot be chosen from a range that ends before it begins", () => {
    expect(() => resolveRange("gate", { first: 3000, last: 2999 })).toThrow(
      "the portRange of gate must not end at 2999, before its first port 3000",
    );
    expect(resolveRange("gate")).toEqual(portRange);
  });

  test("are what the host returned, or what the settings name", async () => {
    expect((await record(() => look([ssh, auto()]))).result).toEqual([2222, 20345]);
  });

  test("are known in a preview if the settings name them", async () => {
    expect((await record(() => look([ssh, auto()]), true)).result).toEqual([2222, undefined]);
  });

  test("are known by the name of their forward in the visit that finds them", () => {
    expect([ssh, auto()].map(portInVisit)).toEqual(["2222", "@web@"]);
  });
});

describe.each(shells)("the check of a port in %s", (_name, shell) => {
  const state = mkdtempSync(join(tmpdir(), "ports-"));
  afterAll(() => rmSync(state, { recursive: true }));

  /** With a listener as ss prints it after its addresses; the tunnel's account has the user id 999. */
  const check = (
    listener: string,
    more: { connections?: string[]; values?: Record<string, string> } = {},
  ) => {
    const values = {
      ACCOUNT: "tunnel-nas",
      FORWARDS: "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback",
      RANGE: "20000 29999",
      ...more.values,
    };
    const told = `id() { case $* in *tunnel-nas) echo 999 ;; *) command id "$@" ;; esac; }
ss() {
  case $* in
    *established*) printf '%s\\n' ${(more.connections ?? []).map((line) => `'${line}'`).join(" ")} ;;
    *) echo 'LISTEN 0 128 127.0.0.1:2222 0.0.0.0:* ${listener}' ;;
  esac
}
`;
    return runScript(shell, told + ourScript("remotePorts", state, values), "apply");
  };

  test("accepts a listener of the tunnel's account, whether or not its process is visible", () => {
    for (const seen of ['users:(("sshd",pid=999999999,fd=7)) ', ""]) {
      const { stdout, stderr } = check(`${seen}uid:999 ino:26868444 sk:baa cgroup:/ <->`);
      expect(stdout, stderr).toContain("port ssh 2222\n");
    }
  });

  test("refuses a forward that sshd cannot listen for, since its AddressFamily is another", () => {
    const apply = (family: string, address: string, listen: string) => {
      const FORWARDS = `web,${address},2222,tcp,127.0.0.1,80,${listen}`;
      const values = { ACCOUNT: "tunnel-nas", FORWARDS, RANGE: "20000 29999" };
      const told = `sshd() { echo 'AddressFamily ${family}'; }\nss() { :; }\n`;
      return runScript(shell, told + ourScript("remotePorts", state, values), "apply").stderr;
    };
    const refused = (family: string, listen: string) =>
      expect.stringContaining(
        `the forward 'web' cannot listen on ${listen}, since sshd here has 'AddressFamily ${family}'; choose another address for it, or change that`,
      ) as string;
    for (const listen of ["::1", "::"]) expect(apply("inet", "::1", listen)).toEqual(refused("inet", listen));
    expect(apply("inet6", "127.0.0.1", "loopback")).toEqual(refused("inet6", "127.0.0.1"));
    expect(apply("inet6", "127.0.0.1", "0.0.0.0")).toEqual(refused("inet6", "0.0.0.0"));
    expect(apply("inet6", "127.0.0.1", "all")).toEqual(refused("inet6", "*"));
    expect(apply("inet", "127.0.0.1", "all")).not.toContain("error");
    expect(apply("any", "::1", "::1")).not.toContain("error");
  });

  test("refuses a port that any other program has, even root's or an unknown one", () => {
    const refused = (by: string) => `port 2222 of the forward 'ssh' is in use by ${by}; end that, or choose`;
    expect(check('users:(("nginx",pid=812,fd=6)) ino:1 sk:2 <->').stderr).toContain(
      refused("nginx (pid 812) of 'root'"),
    );
    expect(check('users:(("nc",pid=813,fd=6)) uid:9990 ino:1 sk:2 <->').stderr).toContain(
      refused("nc (pid 813) of '9990'"),
    );
    expect(check("ino:1 sk:2 <->").stderr).toContain(
      refused("a program that cannot be told (pid unknown) of 'root'"),
    );
  });

  test("names the account and the address of a tunnel that somebody else has opened with ssh", () => {
    const connections = [
      `0 0 127.0.0.1:2222 127.0.0.1:50000 users:(("sshd",pid=812,fd=3))`,
      `0 0 127.0.0.1:50000 127.0.0.1:2222 users:(("ssh",pid=900,fd=3))`,
      `0 0 127.0.0.1:50001 127.0.0.1:80 users:(("sshd",pid=812,fd=11))`,
      `0 0 [::ffff:198.18.0.2]:22 [::ffff:203.0.113.7]:40000 users:(("sshd",pid=812,fd=4),("sshd",pid=810,fd=4))`,
      `0 0 198.18.0.2:22 203.0.113.9:40000 users:(("sshd",pid=8122,fd=4))`,
    ];
    const held = check('users:(("sshd",pid=812,fd=9)) ino:1 sk:2 <->', { connections }).stderr;
    const port = "port 2222 of the forward 'ssh' is held by a tunnel that 'root' has opened with ssh";
    expect(held).toContain(
      `${port} from 203.0.113.7 (sshd, pid 812); if that is your way to its host, choose another remotePort first ('auto' finds a free one), and end it when the new tunnel works (docs/moving-over.md); otherwise end it now`,
    );
    const unseen = check('users:(("sshd-session",pid=812,fd=9)) uid:9990 ino:1 sk:2 <->').stderr;
    expect(unseen).toContain(`${port.replace("root", "9990")} (sshd-session, pid 812); if that is your way`);
  });

  test("says so if Pulumi itself comes through that tunnel", () => {
    const held = 'users:(("sshd",pid=812,fd=9)) ino:1 sk:2 <->';
    const through = (port: string) => check(held, { values: { ADMIN_PORT: port, INSIDE: "nas" } }).stderr;
    expect(through("2222")).toContain(
      "(sshd, pid 812), and Pulumi itself reaches nas through it; leave that as it is, choose another remotePort",
    );
    expect(through("2223")).toContain("if that is your way to its host");
  });
});

describe.each(shells)("what keeps a tunnel from a port, in %s,", (_name, shell) => {
  /** Where a tunnel can be asked to listen: each with the addresses that sshd binds for it. */
  const asked: Record<string, string[]> = {
    "127.0.0.1": ["127.0.0.1"],
    "127.0.0.2": ["127.0.0.2"],
    "0.0.0.0": ["0.0.0.0"],
    "::1": ["::1"],
    "::": ["::"],
    "*": ["0.0.0.0", "::"],
  };

  const state = mkdtempSync(join(tmpdir(), "ports-"));
  afterAll(() => rmSync(state, { recursive: true }));

  /** The addresses that a tunnel cannot have, of those in `asked`. */
  const obstructed = (port: number, told = "") => {
    const script = ourScript("remotePorts", state, { ACCOUNT: "tunnel-nas", FORWARDS: "", RANGE: "" });
    const look = `read_records; set -f
      for each in ${Object.keys(asked).join(" ")}; do [ -z "$(obstacle "$each" ${port})" ] || echo "$each"; done`;
    const { stdout, stderr } = runScript(shell, script.replace('\nmain "$@"\n', `\n${told}\n${look}\n`));
    expect(stderr).toBe("");
    return stdout.split("\n").filter((line) => line !== "");
  };

  /** Listens as sshd does, which binds IPv6 addresses for IPv6 alone. */
  const listen = async (host: string, port: number, ipv6Only: boolean) => {
    const server = createServer().listen({ host, port, ipv6Only });
    await once(server, "listening");
    return server;
  };

  const kernelRefuses = async (address: string, port: number) => {
    try {
      for (const host of asked[address]!) (await listen(host, port, true)).close();
      return false;
    } catch (error) {
      expect(error).toMatchObject({ code: "EADDRINUSE" });
      return true;
    }
  };

  test.each<[string, boolean]>([
    ["127.0.0.1", false],
    ["0.0.0.0", false],
    ["::1", true],
    ["::", true],
    ["::", false],
    ["::ffff:127.0.0.1", false],
    ["::ffff:0.0.0.0", false],
  ])("is what the kernel says while a program listens on %s, for IPv6 only: %s", async (host, ipv6Only) => {
    const server = await listen(host, 0, ipv6Only);
    try {
      const { port } = server.address() as AddressInfo;
      const refused: string[] = [];
      for (const address of Object.keys(asked)) {
        if (await kernelRefuses(address, port)) refused.push(address);
      }
      expect(refused).not.toEqual([]);
      expect(obstructed(port)).toEqual(refused);
    } finally {
      server.close();
    }
  });

  const listener = (text: string) => `ss() { echo 'LISTEN 0 128 ${text} ino:1 sk:2 <->'; }`;

  test.each([
    ["of one network interface", "127.0.0.1%lo:2222 0.0.0.0:*", ["127.0.0.1", "0.0.0.0", "*"]],
    ["of one interface, on all its addresses", "*%lo:2222 *:* v6only:0", Object.keys(asked)],
    ["of one interface, for IPv6 only", "[::]%lo:2222 [::]:* v6only:1", ["::1", "::", "*"]],
    ["that an ss without the word v6only shows", "[::]:2222 [::]:*", Object.keys(asked)],
  ])("counts a listener %s", (_what, text, all) => {
    expect(obstructed(2222, listener(text))).toEqual(all);
  });

  test.each([
    ["127.0.0.1", ["127.0.0.1", "0.0.0.0", "*"]],
    ["0.0.0.0", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "*"]],
    ["::", ["::1", "::", "*"]],
    ["*", Object.keys(asked)],
  ])("counts the port of another tunnel on %s, even while that tunnel is down", (address, all) => {
    mkdirSync(join(state, "other"), { mode: 0o700 });
    writeFileSync(join(state, "other", "till"), `port\t${address}:2222\nport\t${address}:12223\n`);
    expect(obstructed(2222, "ss() { :; }")).toEqual(all);
    expect(obstructed(2223, "ss() { :; }")).toEqual([]);
    rmSync(join(state, "other"), { recursive: true });
  });
});
