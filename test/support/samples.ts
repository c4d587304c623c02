import type * as pulumi from "@pulumi/pulumi";
import { account } from "../../components/parts/account/account.ts";
import { authorizedKey } from "../../components/parts/authorizedKey/authorizedKey.ts";
import { clientConfig } from "../../components/parts/clientConfig/clientConfig.ts";
import { FirewallPorts } from "../../components/parts/firewallPorts/firewallPorts.ts";
import { healthCheck } from "../../components/parts/healthCheck/healthCheck.ts";
import { HostFacts } from "../../components/parts/hostFacts/hostFacts.ts";
import { Notify } from "../../components/parts/notify/notify.ts";
import { HostTools } from "../../components/parts/hostTools/hostTools.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "../../components/index.ts";
import { keyPair } from "../../components/parts/keyPair/keyPair.ts";
import { loginCheck } from "../../components/parts/loginCheck/loginCheck.ts";
import { knownHost } from "../../components/parts/knownHost/knownHost.ts";
import type { Part } from "../../components/remote/remoteScript.ts";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import { tunnelCheck } from "../../components/parts/tunnelCheck/tunnelCheck.ts";
import { endSessions } from "../../components/parts/endSessions/endSessions.ts";
import { tunnelStop } from "../../components/parts/tunnelStop/tunnelStop.ts";
import { tunnelService } from "../../components/parts/tunnelService/tunnelService.ts";
import { RunReport } from "../../components/remote/runReport.ts";
import { bothEnds, gate, gateKeys, nas } from "./hosts.ts";
import { onePart } from "./onePart.ts";

/** A component, or a part, with arguments for all of its features. */
export interface Sample {
  /** Every argument. Created each time, and only while a program is recorded. */
  args: () => object;
  make: (name: string, args: object) => unknown;
}

/** The compiler checks that no argument is missing here, not even an optional one. */
function sample<A extends object>(
  component: new (name: string, args: A) => unknown,
  // With what another stack says of a host, there is less of it: see publicHost.test.ts.
  args: () => Required<Omit<A, "managed">>,
): Sample {
  return { args, make: (name, given) => new component(name, given as A) };
}

/** The same for a part. */
function samplePart<A extends object>(part: (args: A) => Part, args: () => Required<A>): Sample {
  return { args, make: (name, given) => onePart(name, nas, part(given as A)) };
}

const at = { account: "tunnel-nas" };
const ssh = "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback";
const login = {
  file: "x",
  keyFile: "x.key",
  aliases: ["ssh-tunnel-nas"],
  address: "198.18.0.2",
  port: 22,
  account: "tunnel-nas",
  hostKeys: gateKeys,
  options: { BatchMode: "yes" },
};
const sshServer = {
  allowUsers: ["root", "alice"],
  clientAliveIntervalSec: 15,
  clientAliveCountMax: 3,
};

/** Every component, by its class. */
export const samples: Record<string, Sample> = {
  FirewallPorts: sample(FirewallPorts, () => ({
    host: gate,
    ports: [{ port: 8080, address: "198.18.0.2", sources: ["203.0.113.0/24"] }],
    keepsStale: true,
    serves: 443,
  })),
  HostFacts: sample(HostFacts, () => ({ host: nas, needsServer: false })),
  HostTools: sample(HostTools, () => ({ host: { ...nas, toolsDirectory: "/srv/tools" }, notifies: true })),
  Notify: sample(Notify, () => ({
    host: gate,
    notify: { command: "true", delaySec: 60, secret: "x", account: "alice" },
  })),
  InternalHost: sample(InternalHost, () => ({
    connection: nas.connection,
    throughTunnel: "gate",
    tunnel: "nas",
    ways: {
      through: "nas",
      others: [],
      all: [{ tunnel: "nas", connection: nas.connection }],
      admits: new Map<string, pulumi.Resource>(),
      state: Promise.resolve(new Map<string, Record<string, unknown>>()),
    },
    toolsDirectory: "/srv/tools",
    namespaces: false,
    revision: "1",
    stackId: "0123456789abcdef",
    trialSec: 60,
    report: new RunReport().of("sample"),
    gone: false,
    look: { label: "x", notes: [], records: [], drift: {}, keys: {}, lacksTools: false },
  })),
  PublicHost: sample(PublicHost, () => ({
    ...sshServer,
    installPackages: true,
    permitListen: ["127.0.0.1:2222"],
    permitOpen: ["127.0.0.1:2222"],
    connection: gate.connection,
    address: "gate.example.org",
    sshPort: 443,
    listenOnSshPort: true,
    portRange: { first: 20000, last: 29999 },
    textfileDirectory: "/srv/metrics",
    notify: { command: "true", delaySec: 60, secret: "x", account: "alice" },
    toolsDirectory: "/srv/tools",
    namespaces: false,
    revision: "1",
    stackId: "0123456789abcdef",
    trialSec: 60,
    report: new RunReport().of("sample"),
    gone: false,
    look: { label: "x", notes: [], records: [], drift: {}, keys: {}, lacksTools: false },
  })),
  SshServer: sample(SshServer, () => ({ host: gate, ...sshServer, addPort: 443, installPackages: true })),
  ReverseTunnel: sample(ReverseTunnel, () => ({
    ...bothEnds(),
    address: "192.168.1.10",
    enabled: true,
    forwards: {
      ssh: {
        remotePort: "auto" as const,
        target: "127.0.0.1:22",
        listen: "loopback",
        protocol: "ssh" as const,
        probe: "banner" as const,
      },
      web: { remotePort: 8080, target: 80, listen: "all", sources: ["203.0.113.0/24"] },
    },
    logins: [{ from: "root", to: "root", alias: "nas", via: "ssh", keys: "2026-Q4" }],
    account: "backup",
    keys: "2026-Q4",
    keepAlive: {},
    watchdogIntervalSec: 15,
    healthIntervalSec: 30,
    textfileDirectory: "/srv/metrics",
    timeoutSec: 30,
    proxy: { url: "http://proxy.example.org:3128", user: "site", password: "x" },
    proxyJump: { address: "dmz.example.org", port: 22, user: "relay", hostKey: gateKeys[0]! },
  })),
};

/** The parts that take text, by their scripts. The parts for ports get what a tunnel's plan has checked. */
export const partSamples: Record<string, Sample> = {
  account: samplePart(account, () => ({
    ...at,
    group: "tunnel-nas",
    home: "/var/lib/tunnel-nas",
    shell: "/bin/sh",
  })),
  authorizedKey: samplePart(authorizedKey, () => ({
    ...at,
    name: "nas-key",
    publicKey: "ssh-ed25519 AAAA",
    options: ["restrict", 'from="127.0.0.1"'],
    permits: ['permitlisten="127.0.0.1:2222"'],
    file: "/etc/ssh/keys/nas",
    target: { host: "nas.lan", port: 22 },
    otherNames: "nas-",
    managedBy: "public",
  })),
  clientConfig: samplePart(clientConfig, () => ({
    ...at,
    file: "x.conf",
    patterns: ["x"],
    options: { HostName: "198.18.0.2" },
  })),
  healthCheck: samplePart(healthCheck, () => ({
    host: gate,
    tunnel: "nas",
    forwards: [ssh],
    enabled: true,
    intervalSec: 5,
    textfileDirectory: "/srv/metrics",
  })),
  keyPair: samplePart(keyPair, () => ({ ...at, file: "x.key", comment: "tunnel-nas@nas", types: "ecdsa" })),
  knownHost: samplePart(knownHost, () => ({
    ...at,
    file: "x.known_hosts",
    alias: "gate",
    hostKeys: gateKeys,
  })),
  loginCheck: samplePart(loginCheck, () => ({
    logins: [{ from: "root", alias: "nas", forward: "ssh" }],
    inside: "nas",
    timeoutSec: 30,
  })),
  tunnelCheck: samplePart(tunnelCheck, () => ({
    account: "tunnel-nas",
    forwards: [ssh],
    timeoutSec: 30,
    lookAt: "the journal",
    fingerprint: "0123456789abcdef",
  })),
  endSessions: samplePart(endSessions, () => ({ account: "tunnel-nas" })),
  tunnelStop: samplePart(tunnelStop, () => ({ tunnel: "nas" })),
  tunnelService: samplePart(tunnelService, () => ({
    ...at,
    host: nas,
    tunnel: "nas",
    login,
    remoteForwards: ["127.0.0.1:2222:127.0.0.1:22"],
    forwards: [ssh],
    restartSec: 1,
    restartMaxDelaySec: 30,
    textfileDirectory: "/srv/metrics",
    watchdogIntervalSec: 15,
    timeoutSec: 30,
    fingerprint: "0123456789abcdef",
    via: {
      proxy: { kind: "http" as const, host: "proxy.example.org", port: 3128, user: "site", password: "x" },
      jump: { login: { ...login, aliases: ["ssh-tunnel-nas.jump"] }, publicKey: "ssh-ed25519 AAAA" },
    },
  })),
};
