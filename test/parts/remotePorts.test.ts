import { mkdtempSync, rmSync } from "node:fs";
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
  const check = (listener: string) => {
    const values = {
      ACCOUNT: "tunnel-nas",
      FORWARDS: "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback",
      RANGE: "20000 29999",
    };
    const told = `id() { case $* in *tunnel-nas) echo 999 ;; *) command id "$@" ;; esac; }\nss() { echo 'LISTEN 0 128 127.0.0.1:2222 0.0.0.0:* ${listener}'; }\n`;
    return runScript(shell, told + ourScript("remotePorts", state, values), "apply");
  };

  test("accepts a listener of the tunnel's account, whether or not its process is visible", () => {
    for (const seen of ['users:(("sshd",pid=999999999,fd=7)) ', ""]) {
      const { stdout, stderr } = check(`${seen}uid:999 ino:26868444 sk:baa cgroup:/ <->`);
      expect(stdout, stderr).toContain("port ssh 2222\n");
    }
  });

  test("refuses a port that any other program has, even root's or an unknown one", () => {
    const refused = (by: string) => `port 2222 of the forward 'ssh' is in use by ${by}; end that, or choose`;
    expect(check('users:(("nginx",pid=812,fd=6)) ino:1 sk:2 <->').stderr).toContain(
      refused("nginx (pid 812)"),
    );
    expect(check('users:(("nc",pid=813,fd=6)) uid:9990 ino:1 sk:2 <->').stderr).toContain(
      refused("nc (pid 813)"),
    );
    expect(check("ino:1 sk:2 <->").stderr).toContain(refused("a program that cannot be told (pid unknown)"));
  });
});
