import { afterAll, beforeAll, describe, expect, it, onTestFailed } from "vitest";
import { account } from "../../components/parts/account/account.ts";
import { authorizedKey } from "../../components/parts/authorizedKey/authorizedKey.ts";
import { clientConfig } from "../../components/parts/clientConfig/clientConfig.ts";
import { FirewallPorts } from "../../components/parts/firewallPorts/firewallPorts.ts";
import { forwardWord, resolveForward } from "../../components/settings/forward.ts";
import { healthCheck } from "../../components/parts/healthCheck/healthCheck.ts";
import { HostFacts } from "../../components/parts/hostFacts/hostFacts.ts";
import { HostTools } from "../../components/parts/hostTools/hostTools.ts";
import type { Host as RemoteHost } from "../../components/index.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "../../components/index.ts";
import { keyPair } from "../../components/parts/keyPair/keyPair.ts";
import { loginCheck } from "../../components/parts/loginCheck/loginCheck.ts";
import { knownHost } from "../../components/parts/knownHost/knownHost.ts";
import { trialValues } from "../../components/remote/remoteComponent.ts";
import { notify } from "../../components/parts/notify/notify.ts";
import { remotePorts } from "../../components/parts/remotePorts/remotePorts.ts";
import { isWhole, partNames } from "../../components/remote/scriptFiles.ts";
import { selinuxPorts } from "../../components/parts/selinuxPorts/selinuxPorts.ts";
import type { ClientSide } from "../../components/parts/clientConfig/clientOptions.ts";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import { endSessions } from "../../components/parts/endSessions/endSessions.ts";
import { tunnelStop } from "../../components/parts/tunnelStop/tunnelStop.ts";
import { tunnelCheck } from "../../components/parts/tunnelCheck/tunnelCheck.ts";
import { tunnelService } from "../../components/parts/tunnelService/tunnelService.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools, labHost } from "../../lab/program.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { onePart } from "../support/onePart.ts";
import { fillHost } from "./support/fullHost.ts";
import { type HostState, expectAsBefore, hostState } from "./support/hostState.ts";
import { oneIn } from "./support/sample.ts";

let lab: Lab;
let hosts: { bare: Host; full: Host };
let before: HostState[];
let stack: LabStack;
let program: () => void = () => undefined;

/** A component with its dependencies, and a command that reports on the host whether it is there. */
interface Trial {
  make: (name: string, host: RemoteHost, accounts: string[]) => void;
  /** Fails on the host before `up` and after `destroy`, and succeeds in between. */
  there?: string;
  /** The output of `up`, for a component that only checks. */
  says?: RegExp;
  /** Whether it brings the tools of its scripts itself, or needs none. */
  alone?: boolean;
  /** What both hosts need first, which then belongs to their earlier state; and what ends it. */
  setUp?: [begin: string, end: string];
}

const ssh = resolveForward("ssh", { remotePort: 2222, target: 22 });
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdhdGU=";

/** By component or part; the text in brackets distinguishes several trials of one. */
const trials: Record<string, Trial> = {
  account: {
    make: (name, host) => {
      const rest = { group: "ssh-tunnel", shell: "/bin/sh" };
      onePart(`${name}-1`, host, account({ ...rest, account: "tunnel-x", home: "/" }));
      onePart(`${name}-2`, host, account({ ...rest, account: "tunnel-y", home: "/var/lib/tunnel-y" }));
    },
    there: "id tunnel-x && id tunnel-y && [ -d /var/lib/tunnel-y ]",
  },
  authorizedKey: {
    make: (name, host, accounts) => {
      for (const account of accounts) {
        for (const each of ["1", "2"]) {
          const line = `${name}-${account}-${each}`;
          onePart(line, host, authorizedKey({ name: line, account, publicKey: key, options: ["restrict"] }));
        }
      }
      const [permits, file] = [['permitopen="127.0.0.1:22"'], "/etc/ssh/ssh-reverse-tunnel/x.keys"];
      const line = { name: `${name}-x`, account: "alice", publicKey: key, options: ["restrict"] };
      onePart(`${name}-x`, host, authorizedKey({ ...line, permits, file }));
    },
    there:
      "cd /etc/ssh/ssh-reverse-tunnel && grep AAAAIGdhdGU= x.keys ~/.ssh/authorized_keys ~alice/.ssh/authorized_keys",
  },
  clientConfig: {
    make: (name, host, accounts) => {
      for (const account of accounts) {
        const entry = { account, file: "x.conf", patterns: ["x"], options: { Port: 2222 } };
        onePart(`${name}-${account}`, host, clientConfig(entry));
      }
    },
    there: "ssh -G x | grep '^port 2222' && su alice -c 'ssh -G x' | grep '^port 2222'",
  },
  firewallPorts: {
    make: (name, host) => {
      new FirewallPorts(`${name}-1`, { host, ports: [{ port: 8080 }, { port: 8081 }] });
      new FirewallPorts(`${name}-2`, {
        host,
        ports: [{ port: 8080 }, { port: 8082, sources: ["203.0.113.0/24", "fd00::/8"] }],
      });
    },
    there: "firewall-cmd --list-ports | grep 8080 && firewall-cmd --permanent --list-rich-rules | grep 8082",
    setUp: [
      "systemctl start firewalld && until firewall-cmd --quiet --state; do sleep 0.1; done",
      "systemctl stop firewalld",
    ],
  },
  "firewallPorts (ufw)": {
    make: (name, host) =>
      void new FirewallPorts(name, {
        host,
        ports: [{ port: 8080, sources: ["203.0.113.0/24", "fd00::/8"] }],
      }),
    there: "ufw show added | grep 8080",
    setUp: [
      "ufw allow 22/tcp && ufw --force enable && touch -d 2020-02-02 /etc/ufw/user*.rules",
      "ufw --force disable",
    ],
  },
  healthCheck: {
    make: (name, host) =>
      void onePart(
        name,
        host,
        healthCheck({
          ...{ host, tunnel: "x", intervalSec: 1, forwards: ["ssh,127.0.0.1,22,ssh"] },
          textfileDirectory: "/var/lib/metrics/textfiles",
        }),
      ),
    there:
      "systemctl is-active ssh-tunnels-cleanup-s-health.timer && ssh-tunnel-status --help && [ -L /var/lib/metrics/textfiles/ssh-tunnel-x.prom ]",
  },
  HostFacts: {
    make: (name, host) => void new HostFacts(name, { host, needsServer: true }),
    says: /unchanged: .*the host can be managed/,
    alone: true,
  },
  hostTools: {
    make: (name, host) => void new HostTools(name, { host }),
    there: "[ -f /opt/ssh-reverse-tunnel/*/lib/library.sh ]",
    alone: true,
  },
  InternalHost: {
    make: (name, host) => void new InternalHost(name, host),
    says: /unchanged: .*the host can be managed/,
    alone: true,
  },
  keyPair: {
    make: (name, host, accounts) => {
      for (const account of accounts) {
        onePart(`${name}-${account}`, host, keyPair({ account, file: "x.key", comment: "x" }));
      }
    },
    there:
      "ssh-keygen -lf ~/.ssh/ssh-reverse-tunnel/x.key && ssh-keygen -lf ~alice/.ssh/ssh-reverse-tunnel/x.key",
  },
  knownHost: {
    make: (name, host, accounts) => {
      for (const account of accounts) {
        const known = { account, file: "x.known_hosts", alias: "x", hostKeys: [key] };
        onePart(`${name}-${account}`, host, knownHost(known));
      }
    },
    there: "ssh-keygen -F x -f ~/.ssh/ssh-reverse-tunnel/x.known_hosts",
  },
  loginCheck: {
    make: (name, host) => void onePart(name, host, loginCheck({ logins: [], inside: "x" })),
    says: /unchanged: .*the part loginCheck/,
  },
  notify: {
    make: (name, host) => {
      const notified = { command: "true", secret: "x" };
      onePart(name, host, notify({ host, notify: notified }));
    },
    there:
      "systemctl is-active ssh-tunnels-cleanup-s-notify.timer && systemctl start ssh-tunnels-cleanup-s-notify && [ -d /var/lib/private/ssh-tunnels-cleanup-s-notify ]",
  },
  PublicHost: {
    make: (name, host) => void new PublicHost(name, { ...host, allowUsers: ["root", "admin"] }),
    there: "sshd -T | grep 'allowusers tunnel-'",
    alone: true,
  },
  remotePorts: {
    make: (name, host) =>
      void onePart(
        name,
        host,
        remotePorts({
          account: "tunnel-x",
          forwards: [ssh, resolveForward("a", { remotePort: "auto", target: 1 })],
          starts: { a: 20500 },
          portRange: { first: 20000, last: 29999 },
        }),
      ),
    there: "grep -r 2222 /var/lib/ssh-reverse-tunnel",
  },
  ReverseTunnel: {
    make: (name, host) => {
      const there = host.name === "bare" ? "full" : "bare";
      new ReverseTunnel(`to-${there}`, {
        internalHost: new InternalHost(`${name}-inside`, host),
        publicHost: new PublicHost(`${name}-outside`, labHost(lab, hosts[there])),
        forwards: {
          ssh: { remotePort: 2222, target: 22 },
          v6: { remotePort: "auto", target: 22, listen: "::1" },
        },
        logins: accountsOf(hosts[there]).map((from) => ({ from, to: "alice", alias: "other" })),
        ...(host.name === "full" ? { account: "alice" } : {}),
      });
    },
    there: "ssh other hostname | grep -vx $(hostname) && su alice -c 'ssh other hostname'",
    alone: true,
  },
  selinuxPorts: {
    make: (name, host) => void onePart(name, host, selinuxPorts({ ports: ["2222", "8080"] })),
    there:
      "semanage port -l -C -n | grep -E '^ssh_port_t .*2222' && semanage port -l -C -n | grep -E '^ssh_port_t .*8080'",
    // The lab's kernel has no SELinux; the policy store is real, and has its own entry.
    setUp: [
      `printf '#!/bin/sh\\n' >/usr/local/sbin/selinuxenabled && chmod 755 /usr/local/sbin/selinuxenabled
       semanage port -a -t ssh_port_t -p tcp 2200 && semanage port -d -p tcp 2200`,
      "rm /usr/local/sbin/selinuxenabled",
    ],
  },
  sshServer: {
    make: (name, host) => void new SshServer(name, { host }),
    there:
      "sshd -T -C user=tunnel-x,host=h,addr=1.2.3.4 | grep gatewayports && ls /opt/ssh-reverse-tunnel/cleanup-s/bin/evict-stale",
  },
  "sshServer (no Include in sshd_config)": {
    make: (name, host) => void new SshServer(name, { host }),
    there: "head -n 1 /etc/ssh/sshd_config | grep 00-cleanup-s.conf",
    setUp: [
      "cd /etc/ssh && cp -a sshd_config kept && sed -i /^Include/d sshd_config && systemctl reload ssh",
      "cd /etc/ssh && mv kept sshd_config",
    ],
  },
  endSessions: {
    make: (name, host) => void onePart(name, host, endSessions({ account: "alice" })),
    says: /unchanged: /,
  },
  tunnelStop: {
    make: (name, host) => void onePart(name, host, tunnelStop({ tunnel: "x" })),
    says: /unchanged: /,
  },
  tunnelCheck: {
    make: (name, host) =>
      void onePart(
        name,
        host,
        tunnelCheck({ account: "root", forwards: [forwardWord(ssh, 22)], lookAt: "x", fingerprint: "x" }),
      ),
    says: /works: .*forward 'ssh' on 127.0.0.1:22/,
  },
  tunnelService: {
    make: (name, host) =>
      void onePart(
        name,
        host,
        tunnelService({
          ...{ host, tunnel: "x", account: "alice", login: client("alice"), fingerprint: "x" },
          ...{ remoteForwards: [], forwards: [] },
        }),
        { values: trialValues(host, "tunnel-x", "now") },
      ),
    there:
      "systemctl is-enabled ssh-tunnel-x && systemctl show -P ActiveState ssh-tunnel-x | grep activ && systemctl is-active ssh-tunnel-x-watchdog.timer",
  },
};

/** A login to the same host. */
function client(account: string): ClientSide {
  return {
    ...{ file: "x", keyFile: "x.key", aliases: ["x", "ssh-tunnel-x"], address: "127.0.0.1", port: 22 },
    ...{ account, hostKeys: [key], options: {} },
  };
}

beforeAll(async () => {
  lab = await Lab.up({ name: "cleanup", hosts: ["bare", "full"] });
  hosts = { bare: lab.host("bare"), full: lab.host("full") };
  await fillHost(hosts.full);
  stack = await openStack({
    project: "cleanup",
    stack: "s",
    program: () => Promise.resolve(program()),
    directory: `${lab.directory}/stacks/s`,
  });
  before = await states();
});

afterAll(() => Lab.clear("cleanup"));

const both = () => Object.values(hosts);
const states = () => Promise.all(both().map(hostState));
const accountsOf = (host: Host) => ["root", "alice", ...(host === hosts.full ? ["bob", "carol"] : [])];
const onBoth = (command: string) => Promise.all(both().map((host) => host.run(command)));
const isThere = (command: string) =>
  Promise.all(both().map(async (host) => (await host.run(command, { allowFailure: true })).exitCode === 0));

it("the tests of clean-up cover every part", () => {
  const tried = Object.keys(trials).map((name) => name.replace(/ .*/, ""));
  expect(partNames.filter((part) => !isWhole(part) && !tried.includes(part))).toEqual([]);
});

describe("both a bare host and one with much configuration are as before after up and destroy of", () => {
  it.each(oneIn(10, Object.keys(trials), "components"))("%s", async (type) => {
    const { make, there, says, alone, setUp } = trials[type]!;
    const remote = alone ? labHost : hostWithTools;
    onTestFailed(async () => {
      // If one fails, the next must still run.
      await stack.destroy();
      if (setUp) await onBoth(setUp[1]);
      before = await states();
    });
    if (setUp) {
      await onBoth(setUp[0]);
      before = await states();
    }
    program = () => both().forEach((host) => make(`x-${host.name}`, remote(lab, host), accountsOf(host)));
    if (there) expect(await isThere(there)).toEqual([false, false]);
    const { stdout } = await stack.up();
    if (there) expect(await isThere(there)).toEqual([true, true]);
    if (says) expect(stdout).toMatch(says);
    await stack.destroy();
    if (there) expect(await isThere(there)).toEqual([false, false]);
    await Promise.all(both().map((host, index) => expectAsBefore(host, before[index]!)));
    if (setUp) {
      await onBoth(setUp[1]);
      before = await states();
    }
  });
});
