import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../../../lab/exec.ts";
import type { Host } from "../../../../lab/host.ts";
import type { KindName } from "./kinds.ts";
import type { Fault } from "./plan.ts";
import { TARGETS, type TargetName, targetUnit } from "./targets.ts";
import { now } from "./traffic.ts";

/** Causes a fault, and returns the time when it was over. */
export async function inflict(fault: Fault, gate: Host, host: Host): Promise<number> {
  return (await ACTS[fault.kind](host, fault, gate)) ?? now();
}

/** The process of a tunnel's ssh client; "0" if there is none. */
export async function tunnelPid(host: Host): Promise<string> {
  return (await host.run(`systemctl show -P MainPID ssh-tunnel-${host.name}`)).stdout;
}

/** Restores the address of an internal host that the lab knows. */
export async function giveOldAddress(host: Host): Promise<void> {
  if ((await address(host)) !== host.address) await setAddress(host, host.address);
}

type Act = (host: Host, fault: Fault, gate: Host) => Promise<number | void>;

const ACTS: Record<KindName, Act> = {
  "cut link": async (host, { seconds }) => {
    await host.cutLink();
    await sleep(seconds * 1000);
    await host.restoreLink();
  },

  // A NAT that has forgotten a flow drops its packets from both sides. Later connections are new flows.
  "forgotten flow": async (host, { seconds }, gate) => {
    const { stdout: port } = await host.run(
      `ss -Htn state established dst ${gate.address} dport = :22 | awk '{ sub(/.*:/, "", $3); print $3 }'`,
    );
    if (!/^[0-9]+$/.test(port))
      throw new Error(`${host.name} has not one connection to ${gate.name}: ${port}`);
    await host.cutLink();
    await drop(host, `tcp sport 22 tcp dport ${port}`);
    await drop(gate, `ip saddr ${await address(host)} tcp sport ${port} tcp dport 22`);
    await sleep(seconds * 1000);
    await host.restoreLink();
  },

  "power cut": async (host, { seconds }) => {
    await host.powerCut();
    await sleep(seconds * 1000);
    const ended = now();
    await host.boot();
    return ended;
  },

  "gate reboot": (_host, _fault, gate) => gate.reboot(),

  "killed client": (host) => kill(host, `systemctl show -P MainPID ssh-tunnel-${host.name}`),

  // Both of its processes, the privileged one and the account's.
  "killed session": (host, _fault, gate) =>
    kill(gate, `pgrep -f '^sshd(-session)?: tunnel-${host.name}([ @]|$)'`),

  "killed listener": async (_host, _fault, gate) => {
    const pid = async () => (await gate.run("systemctl show -P MainPID ssh")).stdout;
    const before = await pid();
    await kill(gate, `echo ${before}`);
    await until("another listener of sshd", 10, async () => !["0", before].includes(await pid()));
  },

  "new address": async (host) => {
    const other = host.address.replace(/[0-9]+$/, (last) => String(Number(last) + 100));
    await setAddress(host, (await address(host)) === host.address ? other : host.address);
  },

  "target down": async (host, { forward, seconds }) => {
    await host.run(`systemctl stop ${targetUnit(forward)}`);
    await sleep(seconds * 1000);
    await host.run(`systemctl start ${targetUnit(forward)}`);
  },

  "cancelled forward": async (host, { forward }) => {
    const service = `ssh-tunnel-${host.name}`;
    await host.run(`
      set -f
      forward=$(systemctl cat ${service} | grep -o -- '-R [^ ]*:${TARGETS[forward as TargetName].port}\\b')
      ssh -S /run/${service}/control -O cancel $forward ${service}`);
  },
};

async function kill(host: Host, pids: string): Promise<void> {
  await host.run(`kill -KILL $(${pids})`);
}

const TABLE = "inet soak";

/** Silently drops incoming packets until `dropNothing`. */
async function drop(host: Host, what: string): Promise<void> {
  const input = `table ${TABLE} {\n chain in {\n type filter hook input priority 0;\n ${what} drop\n }\n}\n`;
  await host.run("nft -f -", { input });
}

export async function dropNothing(host: Host): Promise<void> {
  await host.run(`! nft list table ${TABLE} >/dev/null 2>&1 || nft delete table ${TABLE}`);
}

async function address(host: Host): Promise<string> {
  return (await host.run("ip -4 -o address show dev eth0 | awk '{ sub(/\\/.*/, \"\", $4); print $4 }'"))
    .stdout;
}

async function setAddress(host: Host, to: string): Promise<void> {
  await host.run(`ip -4 address flush dev eth0 && ip address add ${to}/24 dev eth0`);
}
