import { setTimeout as sleep } from "node:timers/promises";
import { exec } from "../../lab/exec.ts";
import { networkName } from "../../lab/network.ts";
import type { Host } from "../../lab/host.ts";
import type { Pair } from "../pair.ts";
import type { Tool } from "../tools/tool.ts";

/** A fault between two hosts. */
export interface Fault {
  /** For options and results. */
  id: string;
  /** In tables and plots. */
  title: string;
  /** The moment from which times are counted. */
  from: string;
  /** About how many seconds it takes from the beginning to that moment. */
  seconds: number;
  /** About how many seconds the hosts are busy with it after that moment. */
  busySeconds: number;
  /** Causes it, and reports when it has ended. */
  make: (pair: Pair, tools: Tool[], ended: Ended) => Promise<void>;
  /** Restores everything. */
  undo?: (pair: Pair) => Promise<void>;
}

/**
 * Called when a fault has ended, for every tool or for one; with the moment, on the clock of `performance`, if that is
 * past.
 */
export type Ended = (tool?: Tool, since?: number) => void;

const OFF_SECONDS = 5;
/** Between two tools whose processes are killed: the restart of one must not slow down the next. */
const APART_SECONDS = 1.5;

/** Every fault, in the order of the tables. */
export const allFaults: Fault[] = [
  silentCut(30),
  {
    ...silentCut(30),
    id: "nat",
    title: "link silent for 30 s, and the NAT forgets",
    async make(pair, tools, ended) {
      await forgetFlows(pair);
      await silentCut(30).make(pair, tools, ended);
    },
    async undo(pair) {
      await pair.nas.restoreLink();
      await exec("ip", inNetwork(pair, "nft", "delete", "table", "bridge", table(pair)), {
        allowFailure: true,
      });
    },
  },
  silentCut(240),
  {
    id: "power-cut",
    title: "internal host loses power",
    from: "the moment it is powered on",
    seconds: OFF_SECONDS,
    busySeconds: 8,
    async make({ nas }, _, ended) {
      await nas.powerCut();
      await sleep(OFF_SECONDS * 1000);
      const on = nas.switchOn();
      ended();
      await on;
    },
  },
  {
    id: "reboot",
    title: "public host reboots",
    from: "the moment it is powered on again",
    seconds: 2,
    busySeconds: 10,
    async make({ gate }, _, ended) {
      await gate.shutDown();
      ended();
    },
  },
  {
    id: "kill-client",
    title: "client process killed",
    from: "the kill",
    seconds: 0,
    busySeconds: 7 * APART_SECONDS,
    async make(pair, tools, ended) {
      for (const tool of tools) {
        ended(tool, await killClient(pair, tool));
        await sleep(APART_SECONDS * 1000);
      }
    },
  },
  {
    id: "kill-server",
    title: "server process and its sessions killed",
    from: "the kill",
    seconds: 0,
    busySeconds: 7 * APART_SECONDS,
    async make(pair, tools, ended) {
      // Tools with their own server one by one; sshd is the same for all others.
      const shared = tools.filter((tool) => !tool.server);
      for (const tool of tools.filter(({ server }) => server)) {
        const kill = `systemctl kill --kill-whom=all --signal=KILL ${tool.server}`;
        ended(tool, await momentOf(pair.gate, kill));
        await sleep(APART_SECONDS * 1000);
      }
      if (shared.length === 0) return;
      const since = await momentOf(pair.gate, "kill -KILL $(pgrep -x sshd)");
      for (const tool of shared) ended(tool, since);
    },
  },
  {
    id: "address",
    title: "internal host changes its address",
    from: "the change",
    seconds: 0,
    busySeconds: 5,
    async make(pair, _, ended) {
      ended(undefined, await changeAddress(pair, `${pair.nas.address}/24`, `${pair.otherAddress}/25`));
    },
    async undo(pair) {
      await changeAddress(pair, `${pair.otherAddress}/25`, `${pair.nas.address}/24`);
    },
  },
];

function silentCut(seconds: number): Fault {
  return {
    id: `cut${seconds}`,
    title: `link silent for ${seconds} s`,
    from: "the end of the silence",
    seconds,
    busySeconds: 5,
    async make({ nas }, _, ended) {
      await nas.cutLink();
      await sleep(seconds * 1000);
      await nas.restoreLink();
      ended();
    },
    async undo({ nas }) {
      await nas.restoreLink();
    },
  };
}

/**
 * From now on, drops the packets of every existing connection between the hosts, silently and in both directions, like
 * a NAT that has lost its state; new connections pass.
 */
async function forgetFlows(pair: Pair): Promise<void> {
  const { gate, nas, spare } = pair;
  const ends = [gate, ...(spare ? [spare] : [])].map(({ address }) => `dst ${address}`);
  const { stdout } = await nas.run(`ss -Htn '( ${ends.join(" or ")} )'`);
  const flows = stdout.split("\n").flatMap((line) => {
    const [, , , local, peer] = line.trim().split(/\s+/);
    return local && peer ? [[local.replace(":", " . "), peer.replace(":", " . ")]] : [];
  });
  if (flows.length === 0) throw new Error(`${nas.name} has no connection to ${gate.name} to forget`);
  const elements = flows.flatMap(([local, peer]) => [`${local} . ${peer}`, `${peer} . ${local}`]);
  await exec("ip", inNetwork(pair, "nft", "-f", "-"), {
    input: `table bridge ${table(pair)} {
      set forgotten { type ipv4_addr . inet_service . ipv4_addr . inet_service; elements = { ${elements.join(", ")} }; }
      chain way {
        type filter hook forward priority 0; policy accept;
        ip saddr . tcp sport . ip daddr . tcp dport @forgotten drop
      }
    }\n`,
  });
}

const table = (pair: Pair) => `pair${pair.number}`;

const inNetwork = (pair: Pair, ...command: string[]) => [
  "netns",
  "exec",
  networkName(pair.lab.name),
  ...command,
];

/** Only the process that holds the connection, and no other of its unit. */
async function killClient(pair: Pair, tool: Tool): Promise<number> {
  const { process, unit } = tool.client;
  return momentOf(
    pair.nas,
    `group=$(systemctl show -P ControlGroup ${unit(pair)})
    for pid in $(cat "/sys/fs/cgroup$group/cgroup.procs"); do
      if [ "$(cat /proc/$pid/comm)" = ${process} ]; then kill -KILL $pid && exit; fi
    done
    exit 1`,
  );
}

/**
 * The new address is added before the old one is removed, so that the route stays. It has a different mask: with the
 * same one, it would be a secondary address and be removed with the other.
 */
async function changeAddress({ nas }: Pair, from: string, to: string): Promise<number> {
  return momentOf(nas, `ip addr add ${to} dev eth0 && ip addr del ${from} dev eth0`);
}

/**
 * Runs a command on a host; returns when it began there, which on a busy machine is well before its end is known here.
 */
async function momentOf(host: Host, command: string): Promise<number> {
  const { stdout } = await host.run(`date +%s.%N\n${command}`);
  return performance.now() - (Date.now() - Number(stdout) * 1000);
}
