import { describe, expect, test } from "vitest";
import { PublicHost } from "../components/index.ts";
import { keyPair } from "../components/parts/keyPair/keyPair.ts";
import { rootShells } from "../components/remote/rootShell.ts";
import { gate, gateKeys } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";
import { onePart } from "./support/onePart.ts";
import { promiseOf } from "./support/promiseOf.ts";

const { connection } = gate;

describe("a public host", () => {
  test("has a check of the host, its tools and its sshd, each of which waits for those before it", async () => {
    const recording = await record(() => new PublicHost("gate", { connection }));
    expect(recording.childrenOf(recording.component("PublicHost", "gate"))).toEqual([
      "HostFacts gate-facts",
      "HostTools gate-tools",
      "SshServer gate-server",
    ]);
    expect(recording.command("gate-facts-script").values.NEEDS_SERVER).toBe("yes");
    expect(recording.command("gate-tools-script").waitsFor).toEqual(["gate-facts-script"]);
    expect(recording.command("gate-server-change").waitsFor).toEqual([
      "gate-facts-script",
      "gate-tools-script",
    ]);
  });

  test("has defaults: tunnels use the admin's address, port 22, and packages may be installed", async () => {
    const { result } = await record(() => new PublicHost("gate", { connection }));
    expect(result).toMatchObject({
      address: "198.18.0.2",
      sshPort: 22,
      portRange: undefined,
      installPackages: true,
    });
    expect(await promiseOf(result.hostKeys)).toEqual(gateKeys);
  });

  test("uses the given arguments", async () => {
    const args = {
      address: "gate.example.org",
      sshPort: 2200,
      portRange: { first: 3000, last: 3999 },
      installPackages: false,
    };
    const { result } = await record(() => new PublicHost("gate", { connection, ...args }));
    expect(result).toMatchObject(args);
  });

  test("makes sshd's scripts and a tunnel's scripts root in the way that the check of the host found", async () => {
    const user = { connection: { ...connection, user: "admin" } };
    const recording = await record(() => {
      const { host } = new PublicHost("strict", user);
      onePart("key", host, keyPair({ account: "x", file: "x.key", comment: "x" }));
    });
    for (const name of ["key", "strict-server-change", "strict-server-confirm"]) {
      expect(recording.command(name).inputs.create).toBe(`${rootShells.at(-1)} apply`);
    }
  });

  test("applies its bounds to its tunnels only, since in sshd they would also bind the tunnels of other stacks", async () => {
    const bounds = { permitListen: ["127.0.0.1:*"], permitOpen: ["127.0.0.1:2222"] };
    const recording = await record(() => new PublicHost("gate", { connection, ...bounds }));
    expect(recording.result.bounds).toEqual(bounds);
    expect(recording.command("gate-server-change").values.DROP_IN).toMatch(
      /\n {4}PermitListen any\n {4}PermitOpen any\n/,
    );
  });

  test("passes its sshd settings to sshd", async () => {
    const recording = await record(() => new PublicHost("gate", { connection, allowUsers: ["root"] }));
    expect(recording.command("gate-server-change").values.DROP_IN).toContain("\nAllowUsers root tunnel-*\n");
  });

  test("opens the firewall for another port of its sshd once that listens, and before anything else happens", async () => {
    const recording = await record(() => {
      const { host } = new PublicHost("gate", { connection, sshPort: 443, listenOnSshPort: true });
      onePart("key", host, keyPair({ account: "x", file: "x.key", comment: "x" }));
    });
    expect(recording.command("gate-server-change").parts).toMatchObject([
      { script: "selinuxPorts", values: { PORTS: "443", INSTALL_PACKAGE: "yes" } },
      { script: "sshServer", values: { ADD_PORT: "443" } },
    ]);
    const firewall = recording.command("gate-ssh-port-change");
    expect(firewall.values.PORTS).toBe("443");
    expect(firewall.waitsFor).toContain("gate-server-confirm");
    expect(recording.command("key").waitsFor).toContain("gate-ssh-port-confirm");
  });

  test("passes the revision, which makes all scripts check again if it changes, and the stack's id to every script", async () => {
    const common = { revision: "2", stackId: "a1b2" };
    const recording = await record(() => new PublicHost("gate", { connection, ...common }));
    expect(recording.commands.map(({ values }) => values.REVISION)).toEqual(["2", "2", "2", "2"]);
    expect(recording.commands.map(({ values }) => values.STACK_ID)).toEqual(["a1b2", "a1b2", "a1b2", "a1b2"]);
  });
});
