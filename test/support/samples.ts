import { resolveForward } from "../../components/forward.ts";
import * as components from "../../components/index.ts";
import { bothEnds, gate, gateKeys, nas } from "./hosts.ts";

/** A component with arguments that make all of its children. */
export interface Sample {
  /** Every argument that there is. Made anew each time, and only while a program is recorded. */
  args: () => object;
  make: (name: string, args: object) => unknown;
}

/** The compiler sees to it that no argument is missing here, not one that may be left out either. */
function sample<A extends object>(
  component: new (name: string, args: A) => unknown,
  args: () => Required<A>,
): Sample {
  return { args, make: (name, given) => new component(name, given as A) };
}

const at = { host: nas, account: "tunnel-nas" };
const ssh = resolveForward("ssh", { remotePort: "auto", target: 22 });
const login = {
  file: "x",
  aliases: ["gate", "ssh-tunnel-nas"],
  address: "198.18.0.2",
  port: 22,
  account: "tunnel-nas",
  hostKeys: gateKeys,
  options: { BatchMode: "yes" },
};
const portRange = { first: 20000, last: 29999 };
const sshServer = {
  allowUsers: ["root", "alice"],
  clientAliveInterval: 15,
  clientAliveCountMax: 3,
};

/** Every component, by its class. */
export const samples: Record<string, Sample> = {
  Account: sample(components.Account, () => ({
    ...at,
    group: "tunnel-nas",
    home: "/var/lib/tunnel-nas",
    shell: "/bin/sh",
  })),
  AuthorizedKey: sample(components.AuthorizedKey, () => ({
    ...at,
    publicKey: "ssh-ed25519 AAAA",
    options: ["restrict", 'from="127.0.0.1"'],
    file: "/etc/ssh/keys/nas",
    keepPermits: true,
    // Another component, which would be one more in the structure of this one.
    settles: undefined as never,
  })),
  ClientConfig: sample(components.ClientConfig, () => ({
    ...at,
    file: "x.conf",
    patterns: ["x"],
    options: { HostName: "198.18.0.2" },
  })),
  FirewallPorts: sample(components.FirewallPorts, () => ({
    host: gate,
    ports: [{ port: 8080, address: "198.18.0.2", sources: ["203.0.113.0/24"] }],
  })),
  HealthCheck: sample(components.HealthCheck, () => ({
    host: gate,
    tunnel: "nas",
    forwards: ["ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback"],
    intervalSec: 5,
    textfileDirectory: "/srv/metrics",
  })),
  HostFacts: sample(components.HostFacts, () => ({ host: nas, needsServer: false })),
  HostTools: sample(components.HostTools, () => ({ host: { ...nas, toolsDirectory: "/srv/tools" } })),
  InternalHost: sample(components.InternalHost, () => ({
    connection: nas.connection,
    throughTunnel: "gate",
    toolsDirectory: "/srv/tools",
    revision: "1",
    stackId: "0123456789abcdef",
  })),
  KeyPair: sample(components.KeyPair, () => ({ ...at, file: "x.key", comment: "tunnel-nas@nas" })),
  KnownHost: sample(components.KnownHost, () => ({
    ...at,
    file: "x.known_hosts",
    alias: "gate",
    hostKeys: gateKeys,
  })),
  PublicHost: sample(components.PublicHost, () => ({
    ...sshServer,
    permitListen: ["127.0.0.1:2222"],
    permitOpen: ["127.0.0.1:2222"],
    connection: gate.connection,
    address: "gate.example.org",
    sshPort: 22,
    portRange,
    installPackages: true,
    textfileDirectory: "/srv/metrics",
    toolsDirectory: "/srv/tools",
    revision: "1",
    stackId: "0123456789abcdef",
  })),
  RemotePorts: sample(components.RemotePorts, () => ({ ...at, forwards: [ssh], portRange })),
  SelinuxPorts: sample(components.SelinuxPorts, () => ({ host: gate, ports: [2222], installPackages: true })),
  SshLogin: sample(components.SshLogin, () => ({
    from: at,
    to: gate,
    client: login,
    keyOptions: ["restrict"],
    after: [],
  })),
  SshServer: sample(components.SshServer, () => ({ host: gate, ...sshServer })),
  TunnelCheck: sample(components.TunnelCheck, () => ({
    host: gate,
    forwards: [{ forward: ssh, port: 2222 }],
    timeoutSec: 30,
    lookAt: "the journal",
    fingerprint: "0123456789abcdef",
  })),
  TunnelService: sample(components.TunnelService, () => ({
    ...at,
    tunnel: "nas",
    login,
    remoteForwards: ["127.0.0.1:2222:127.0.0.1:22"],
    checks: ["ssh,127.0.0.1,2222,ssh,127.0.0.1,22"],
    restartSec: 1,
    restartMaxDelaySec: 30,
    textfileDirectory: "/srv/metrics",
    watchdogIntervalSec: 15,
    timeoutSec: 30,
    fingerprint: "0123456789abcdef",
  })),
  ReverseTunnel: sample(components.ReverseTunnel, () => ({
    ...bothEnds(),
    forwards: {
      ssh: {
        remotePort: "auto" as const,
        target: "127.0.0.1:22",
        listen: "loopback",
        protocol: "ssh" as const,
      },
      web: { remotePort: 8080, target: 80, listen: "all", sources: ["203.0.113.0/24"] },
    },
    returnPath: [{ from: "root", to: "root", alias: "nas", via: "ssh" }],
    account: "backup",
    keepAlive: {},
    watchdogIntervalSec: 15,
    healthIntervalSec: 30,
    textfileDirectory: "/srv/metrics",
    timeoutSec: 30,
  })),
};
