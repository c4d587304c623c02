import * as pulumi from "@pulumi/pulumi";
import { afterEach, describe, expect, test } from "vitest";
import { PublicHost } from "../components/index.ts";
import { rootShells } from "../components/remote/rootShell.ts";
import program from "../index.ts";
import { record } from "../tools/mocks.ts";
import { gate, gateKeys, hostKey } from "./support/hosts.ts";
import { promiseOf } from "./support/promiseOf.ts";
import { setConfig, usual } from "./support/settings.ts";
import { expectStructure } from "./support/structure.ts";

type Changes = Record<string, unknown>;

const deploy = (settings: Changes, stacks: Record<string, Changes> = {}) => {
  setConfig(settings);
  return record(() => pulumi.runtime.runInPulumiStack(() => Promise.resolve(program())), false, {}, stacks);
};

afterEach(() => setConfig({}));

/** The outputs of a stack that manages the public host. */
async function outputsOf(admin: Changes = {}, more: Changes = {}): Promise<Changes> {
  const { publicHosts } = usual();
  const host = { ...publicHosts.gate, ...more, admin: { hostKey, ...admin } };
  const { result } = await deploy({ publicHosts: { gate: host } });
  return (await promiseOf(pulumi.output(result))) as Changes;
}

const { internalHosts } = usual();
const site = (admin: Changes = {}) => ({
  publicHosts: { gate: { managedBy: "public", admin } },
  internalHosts,
});

describe("a stack that manages a public host", () => {
  test("has in its outputs what others need to know, and no secret", async () => {
    const portRange = { first: 3000, last: 3999 };
    const more = { address: "gate.example.org", portRange, textfileDirectory: "/srv/metrics" };
    const outputs = await outputsOf(
      { address: "198.18.0.2", port: 2200, user: "deploy", password: "x" },
      more,
    );
    expect(outputs.publicHosts).toEqual({
      gate: {
        ...more,
        ...{ sshPort: 22, admin: { address: "198.18.0.2", port: 2200, user: "deploy" } },
        ...{ hostKeys: gateKeys, keyTypes: "ed25519 ecdsa", rootShell: rootShells[0] },
        evictStale: "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin/evict-stale",
        ...{ toolsDirectory: "/opt/ssh-reverse-tunnel", namespaces: true, installPackages: true },
      },
    });
  });

  test("has nothing there for a host that is gone", async () => {
    expect(await outputsOf({}, { gone: true })).toMatchObject({ publicHosts: {} });
  });
});

describe("a stack that uses a public host of another one", () => {
  test("has only its own tunnels and its tools there, with that stack's host keys and program", async () => {
    const outputs = await outputsOf({ address: "198.18.0.2" }, { address: "gate.example.org", sshPort: 443 });
    const recording = await deploy(site({ address: "198.18.0.2" }), { public: outputs });
    expectStructure(recording, ["ssh-reverse-tunnel-dev"]);
    const there = recording.commands.filter(({ address }) => address === "198.18.0.2");
    expect(there.map(({ name }) => name).sort()).toEqual([
      "gate-tools-script",
      "nas-on.gate-admit",
      "nas-on.gate-login-keys",
      "nas-on.gate-settle",
    ]);
    const admit = recording.command("nas-on.gate-admit");
    expect(admit.header.HOST).toBe("gate (198.18.0.2)");
    expect(admit.part("authorizedKey")).toMatchObject({
      LINE: expect.stringContaining(
        'command="/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin/evict-stale"',
      ) as string,
      MANAGED_BY: "public",
    });
    expect(JSON.stringify(recording.command("nas-start").parts)).toContain("gate.example.org");
    expect(JSON.stringify(recording.command("nas-start").parts)).toContain(gateKeys[0]!.split(" ")[1]);
    expect((await promiseOf(pulumi.output(recording.result))) as Changes).toMatchObject({ publicHosts: {} });
  });

  test("becomes root there in the way that works for the other stack's admin, if it has the same", async () => {
    const outputs = await outputsOf({ user: "deploy" });
    const { gate: entry } = outputs.publicHosts as Record<string, Changes>;
    const all = { public: { publicHosts: { gate: { ...entry, rootShell: rootShells[2] } } } };
    const { commands } = await deploy(site({ user: "deploy" }), all);
    const { inputs } = commands.find(({ name }) => name === "nas-on.gate-admit")!;
    expect(inputs.create).toBe(`${rootShells[2]} apply`);
  });

  test("looks itself how another admin becomes root there", async () => {
    const outputs = await outputsOf({ user: "deploy" });
    const { commands } = await deploy(site({ user: "carol" }), { public: outputs });
    expect(commands.map(({ name }) => name)).toContain("gate-facts-script");
    expect(commands.filter(({ name }) => name.startsWith("gate-server"))).toEqual([]);
  });

  test("is reached through its tunnel by way of the other stack's host, with the host key that this knows", async () => {
    const outputs = await outputsOf({ address: "198.18.0.2", port: 2200 });
    const { publicHosts } = site();
    const { nas } = internalHosts;
    const through = { nas: { ...nas, admin: { ...nas.admin, throughTunnel: "ssh" } } };
    const { commands } = await deploy({ publicHosts, internalHosts: through }, { public: outputs });
    const { inputs } = commands.find(({ name }) => name === "nas-start")!;
    expect(inputs.connection).toMatchObject({
      ...{ host: "127.0.0.1", port: 2222 },
      proxy: { host: "198.18.0.2", port: 2200, hostKey: gateKeys[0] },
    });
  });

  test("needs no outputs of it for a host that is gone, and connects to that no more", async () => {
    const { publicHosts } = site();
    const gate = { ...publicHosts.gate, gone: true };
    const { resources } = await deploy({ publicHosts: { gate }, internalHosts });
    const there = resources.filter(({ inputs }) => (inputs.connection as Changes)?.host === "gate");
    expect(there.length).toBeGreaterThan(0);
    for (const { name, inputs } of there) expect(inputs, name).not.toHaveProperty("create");
  });

  test("stops with a sentence if there is no such stack, or if it is this one", async () => {
    setConfig(site());
    await expect(record(program)).rejects.toThrow(
      /publicHosts\.gate\.managedBy: found "public"; must be a stack that manages this host: it cannot be read \(.*\); correct the name, or run 'pulumi up' in that stack first/,
    );
    for (const managedBy of ["dev", "organization/dev", "organization/ssh-reverse-tunnel/dev"]) {
      setConfig({ publicHosts: { gate: { managedBy } }, internalHosts });
      await expect(record(program)).rejects.toThrow(
        "it is this stack itself, in which 'managedBy' must be left out",
      );
    }
    for (const managedBy of ["other/ssh-reverse-tunnel/dev", "organization/other/dev"]) {
      setConfig({ publicHosts: { gate: { managedBy } }, internalHosts });
      await expect(record(program)).rejects.not.toThrow("it is this stack itself");
    }
  });
});

test("a component refuses what is not from such an output, since it ends up in command lines and files", async () => {
  const { gate: entry } = (await outputsOf()).publicHosts as Record<string, Changes>;
  const make = (changes: Changes) =>
    record(
      () =>
        new PublicHost("gate", {
          connection: gate.connection,
          managed: { by: "public", ...entry, ...changes } as never,
        }),
    );
  await expect(make({})).resolves.toBeDefined();
  for (const [key, value] of [
    ["rootShell", "curl example.org | sh"],
    ["evictStale", '/x" command="/y'],
    ["hostKeys", ["ssh-ed25519 AAAA\nx"]],
    ["keyTypes", "rsa"],
  ] as const) {
    await expect(make({ [key]: value }), key).rejects.toThrow(`gate: managed.${key}`);
  }
});
