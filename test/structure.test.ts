import { describe, expect, test } from "vitest";
import { resolveForward } from "../components/forward.ts";
import * as components from "../components/index.ts";
import { bothEnds, gate, gateKeys, nas } from "./support/hosts.ts";
import { componentType, record } from "./support/mocks.ts";
import { expectStructure } from "./support/structure.ts";

const at = { host: nas, account: "tunnel-nas" };
const ssh = resolveForward("ssh", { remotePort: "auto", target: 22 });
const login = {
  file: "x",
  aliases: ["gate"],
  address: "198.18.0.2",
  port: 22,
  account: "tunnel-nas",
  hostKeys: gateKeys,
  options: {},
};

/** Each component with arguments that make all of its children; the name is the one given, or "x". */
const each: Record<string, (name: string) => unknown> = {
  Account: (name) => new components.Account(name, { ...at, group: "g", home: "/", shell: "/bin/sh" }),
  AuthorizedKey: (name) =>
    new components.AuthorizedKey(name, { ...at, publicKey: "ssh-ed25519 A", options: [] }),
  ClientConfig: (name) =>
    new components.ClientConfig(name, { ...at, file: "x.conf", patterns: ["x"], options: {} }),
  FirewallPorts: (name) => new components.FirewallPorts(name, { host: gate, ports: [8080] }),
  HealthCheck: (name) => new components.HealthCheck(name, { host: gate, tunnel: "nas", forwards: [] }),
  HostFacts: (name) => new components.HostFacts(name, { host: nas, needsServer: false }),
  InternalHost: (name) => new components.InternalHost(name, nas),
  KeyPair: (name) => new components.KeyPair(name, { ...at, file: "x.key", comment: "x" }),
  KnownHost: (name) =>
    new components.KnownHost(name, { ...at, file: "x.known_hosts", alias: "gate", hostKeys: gateKeys }),
  PublicHost: (name) => new components.PublicHost(name, gate),
  RemotePorts: (name) => new components.RemotePorts(name, { ...at, forwards: [ssh] }),
  SelinuxPorts: (name) => new components.SelinuxPorts(name, { host: gate, ports: [2222] }),
  SshLogin: (name) => new components.SshLogin(name, { from: at, to: gate, client: login, keyOptions: [] }),
  SshServer: (name) => new components.SshServer(name, { host: gate }),
  SystemdUnits: (name) =>
    new components.SystemdUnits(name, {
      host: nas,
      program: { source: "tunnel", path: "/x" },
      units: { "x.service": "" },
      start: "x.service",
    }),
  TunnelCheck: (name) =>
    new components.TunnelCheck(name, {
      host: gate,
      forwards: [{ forward: ssh, port: 2222 }],
      lookAt: "x",
      fingerprint: "x",
    }),
  TunnelService: (name) =>
    new components.TunnelService(name, {
      ...at,
      tunnel: "nas",
      login,
      remoteForwards: [],
      checks: [],
      fingerprint: "x",
    }),
  ReverseTunnel: (name) =>
    new components.ReverseTunnel(name, {
      ...bothEnds(),
      forwards: {
        ssh: { remotePort: "auto", target: 22 },
        web: { remotePort: 8080, target: 80, listen: "all" },
      },
      returnPath: [{ from: "root", to: "root" }],
    }),
};

test("the structure of every component is looked at", () => {
  expect(Object.keys(each).sort()).toEqual(
    Object.keys(components)
      .filter((name) => /^[A-Z]/.test(name)) // the others are functions
      .sort(),
  );
});

describe("every child has a parent and a name that begins with the parent's", () => {
  test.each(Object.keys(each))("%s", async (type) => {
    const recording = await record(() => each[type]!("x"));
    expectStructure(recording, type === "ReverseTunnel" ? ["gate", "nas", "x"] : ["x"]);
    expect(recording.resources.map((resource) => resource.type)).toContain(componentType(type));
  });
});

describe("the outputs of every component are registered", () => {
  test.each(Object.keys(each))("%s", async (type) => {
    const recording = await record(() => each[type]!("x"));
    expect(recording.withoutOutputs()).toEqual([]);
  });
});
