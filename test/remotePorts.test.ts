import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ForwardArgs } from "../components/index.ts";
import { RemotePorts } from "../components/index.ts";
import { resolveForward } from "../components/forward.ts";
import { expectOneScript, ownValues } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";
import { ourScript, runScript, shells } from "./support/shells.ts";

const ssh = resolveForward("ssh", { remotePort: 2222, target: 22 });
const auto = (args: Partial<ForwardArgs> = {}) =>
  resolveForward("web", { remotePort: "auto", target: 80, ...args });
const args = { host: gate, account: "tunnel-nas" };

describe("remote ports", () => {
  test("that the settings name are one script with name, address and port a line", async () => {
    expect.hasAssertions();
    const all = resolveForward("web", { remotePort: 8080, target: 80, listen: "all" });
    const recording = await record(() => new RemotePorts("nas-ports", { ...args, forwards: [ssh, all] }));
    expectOneScript(recording, {
      component: ["RemotePorts", "nas-ports"],
      script: "remotePorts",
      host: "gate (198.18.0.2)",
      what: "the ports of the forwards",
      values: { ACCOUNT: "tunnel-nas", FORWARDS: "ssh 127.0.0.1 2222\nweb * 8080" },
    });
  });

  test("that are chosen begin at a random place of the range, which is a resource and so stays", async () => {
    const recording = await record(() => new RemotePorts("nas-ports", { ...args, forwards: [ssh, auto()] }));
    expect(recording.childrenOf(recording.component("RemotePorts", "nas-ports"))).toEqual([
      "Command nas-ports-script",
      "RandomInteger nas-ports-web",
    ]);
    expect(recording.resources.find(({ name }) => name === "nas-ports-web")?.inputs).toEqual({
      min: 20000,
      max: 29999,
    });
    expect(recording.command("nas-ports-script").values.FORWARDS).toBe(
      "ssh 127.0.0.1 2222\nweb 127.0.0.1 auto 20345 20000 29999",
    );
  });

  test("are chosen from the public host's range", async () => {
    const portRange = { first: 3000, last: 3999 };
    const recording = await record(
      () => new RemotePorts("nas-ports", { ...args, forwards: [auto({ listen: "198.18.0.2" })], portRange }),
    );
    expect(ownValues(recording.command("nas-ports-script").values)).toMatchObject({
      FORWARDS: "web 198.18.0.2 auto 3345 3000 3999",
    });
  });

  test("are chosen from no range that ends before it begins", async () => {
    const portRange = { first: 3000, last: 2999 };
    await expect(
      record(() => new RemotePorts("nas-ports", { ...args, forwards: [auto()], portRange })),
    ).rejects.toThrow("the portRange of gate must not end at 2999, before its first port 3000");
  });

  test("are what the host answered, or what the settings say", async () => {
    const { result } = await record(() => new RemotePorts("nas-ports", { ...args, forwards: [ssh, auto()] }));
    expect(await promiseOf(result.portOf(ssh))).toBe(2222);
    expect(await promiseOf(result.portOf(auto()))).toBe(20345);
  });

  test("are known in a preview where the settings name them", async () => {
    const forwards = [ssh, auto()];
    const { result } = await record(() => new RemotePorts("nas-ports", { ...args, forwards }), true);
    expect(await promiseOf(result.portOf(ssh))).toBe(2222);
    expect(await promiseOf(result.portOf(auto()))).toBeUndefined();
  });
});

describe.each(shells)("the check of a port in %s", (_name, shell) => {
  const state = mkdtempSync(join(tmpdir(), "ports-"));
  afterAll(() => rmSync(state, { recursive: true }));

  /** With a listener as ss tells of it behind its addresses; the tunnel's account has the user id 999. */
  const check = (listener: string) => {
    const values = { ACCOUNT: "tunnel-nas", FORWARDS: "ssh 127.0.0.1 2222" };
    const told = `id() { case $* in *tunnel-nas) echo 999 ;; *) command id "$@" ;; esac; }\nss() { echo 'LISTEN 0 128 127.0.0.1:2222 0.0.0.0:* ${listener}'; }\n`;
    return runScript(shell, told + ourScript("remotePorts", state, values), "apply");
  };

  test("takes a listener of the tunnel's account for its own, whether or not a process is seen to have it", () => {
    for (const seen of ['users:(("sshd",pid=999999999,fd=7)) ', ""]) {
      const { stdout, stderr } = check(`${seen}uid:999 ino:26868444 sk:baa cgroup:/ <->`);
      expect(stdout, stderr).toContain("ssh=2222");
    }
  });

  test("refuses a port of anybody else, root too, and of one who cannot be told", () => {
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
