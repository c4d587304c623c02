/**
 * `make bench-idle`: what a tunnel that nobody uses sends and receives, all of them at the same time. Prints a table; with
 * --write it also stores it in docs/benchmarks.md.
 */
import { parseArgs } from "node:util";
import { until } from "../../lab/exec.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { keep, markdown, table } from "../document.ts";
import { measuredWith, withPairs } from "../hosts.ts";
import { count } from "../options.ts";
import { ANSWER_PORT, type Pair } from "../pair.ts";
import { buildTools } from "../tools/all.ts";
import { autossh } from "../tools/plainSsh.ts";
import { remoteForward } from "../tools/tool.ts";

const USAGE = `npx tsx bench/idle/main.ts [options]
  --minutes N   to count (21: autossh tries its connection every 10 minutes)
  --lab NAME    name of the lab (bench-idle)
  --write       keep the table in docs/benchmarks.md`;

/** A tunnel that is counted: its unit on the internal host, and what is special about it. */
interface Idle {
  title: string;
  unit: string;
}

/** Bytes of IP, with TCP's own packets. */
interface Bytes {
  sent: number;
  received: number;
}

/** Settings of an internal host of this project, by its name. */
const variants: Record<string, { title: string; settings: object; probe?: string }> = {
  fast: { title: "`keepAlive: { preset: fast }`, the default", settings: {} },
  banner: { title: "the same, with `probe: banner`", settings: {}, probe: "banner" },
  conservative: {
    title: "`keepAlive: { preset: conservative }`",
    settings: { keepAlive: { preset: "conservative" } },
  },
  careful: {
    title: "the same, with `probe: banner`",
    settings: { keepAlive: { preset: "conservative" } },
    probe: "banner",
  },
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "21" },
      lab: { type: "string", default: "bench-idle" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const minutes = count("--minutes", values.minutes);
  const progress = (line: string) => console.error(line);
  const installed = await buildTools([autossh], progress);
  await withPairs(values.lab, 1, installed, progress, async ([pair]) => {
    const idle = [
      ...(await startProject(pair!)),
      await startPlain(pair!),
      ...(installed.tools.length > 0
        ? [{ title: "autossh as Debian installs it", unit: autossh.client.unit(pair!) }]
        : []),
    ];
    await pair!.nas.run(`systemctl start ${idle.map(({ unit }) => unit).join(" ")}`);
    const bytes = await measure(pair!, idle, minutes * 60, progress);
    const how = `Counted for ${minutes} minutes on the internal host, all at the same time: bytes of IP packets, with TCP's acknowledgments.`;
    const text = await report(await measuredWith([pair!], how), idle, bytes, minutes);
    console.log(text);
    if (values.write) keep("make bench-idle", text);
  });
}

/** One internal host of the settings for each variant, all on the same machine. */
async function startProject({ lab, gate, nas }: Pair): Promise<Idle[]> {
  const internalHosts = Object.entries(variants).map(([name, { settings, probe }], index) => [
    name,
    {
      ...labAdmin(lab, nas),
      ...settings,
      forwards: { ssh: { remotePort: 2300 + index, target: 22, ...(probe && { probe }) } },
    },
  ]);
  const stack = await openProgram(lab, {
    stack: "bench-idle",
    config: {
      publicHosts: { [gate.name]: labAdmin(lab, gate) },
      internalHosts: Object.fromEntries(internalHosts) as object,
    },
  });
  await stack.up();
  return Object.entries(variants).map(([name, { title }]) => ({ title, unit: `ssh-tunnel-${name}` }));
}

async function startPlain(pair: Pair): Promise<Idle> {
  const unit = "bench-plain";
  const start = `ExecStart=/usr/bin/ssh -N -o ServerAliveInterval=30 ${remoteForward(pair, ANSWER_PORT)}`;
  await pair.unit(pair.nas, unit, [start]);
  return { title: "`ssh -N -R` with `ServerAliveInterval=30`", unit };
}

/** The local port of the connection that a process of the unit has to the public host's sshd. */
async function portOf({ nas }: Pair, unit: string): Promise<number> {
  const { stdout } = await nas.run(
    `for pid in $(grep -ls '/${unit}.service$' /proc/[0-9]*/cgroup | cut -d/ -f3); do
      ss -Htnp state established 'dport = :22' | grep "pid=$pid," | awk '{ print $3 }' | sed 's/.*://'
    done | sort -u`,
  );
  return /^\d+$/.test(stdout) ? Number(stdout) : 0;
}

/** Counts the bytes of each connection for a while. Each must be the same one at the end. */
async function measure(
  pair: Pair,
  idle: Idle[],
  seconds: number,
  onProgress: (line: string) => void,
): Promise<Bytes[]> {
  const { nas } = pair;
  const find = () => Promise.all(idle.map(({ unit }) => portOf(pair, unit)));
  await until("every tunnel to be connected", 60, async () => !(await find()).includes(0));
  // What a login sends at its beginning is not what an idle tunnel sends.
  await settle(pair);
  const ports = await find();
  const rules = ports.flatMap((port) => [
    `add counter inet idle sent${port}; add rule inet idle out tcp sport ${port} counter name sent${port}`,
    `add counter inet idle received${port}; add rule inet idle in tcp dport ${port} counter name received${port}`,
  ]);
  await nas.run("nft -f -", {
    input: `add table inet idle
add chain inet idle out { type filter hook output priority 0; }
add chain inet idle in { type filter hook input priority 0; }
${rules.join("\n")}
`,
  });
  onProgress(`Counting for ${seconds / 60} minutes …`);
  const begin = Date.now();
  await until(
    "the time to be over",
    seconds + 60,
    () => Promise.resolve(Date.now() - begin >= seconds * 1000),
    1000,
  );
  const { stdout } = await nas.run("nft list counters");
  const after = await find();
  const lost = idle.filter((_, index) => after[index] !== ports[index]).map(({ unit }) => unit);
  if (lost.length > 0) throw new Error(`${lost.join(", ")} has not kept its connection; measure again`);
  const bytes = (name: string) => Number(new RegExp(`counter ${name} \\{[^}]*bytes (\\d+)`).exec(stdout)![1]);
  return ports.map((port) => ({ sent: bytes(`sent${port}`), received: bytes(`received${port}`) }));
}

/** Waits until both checks of this project have seen every tunnel. */
async function settle({ gate, nas }: Pair): Promise<void> {
  for (const host of [gate, nas])
    await until(`every tunnel to be up on ${host.name}`, 120, async () => {
      const { exitCode } = await host.run("ssh-tunnel-status", { allowFailure: true });
      return exitCode === 0;
    });
}

async function report(measured: string, idle: Idle[], bytes: Bytes[], minutes: number): Promise<string> {
  const daily = (count: number) => (count / minutes) * 60 * 24;
  const megabytes = (count: number) => (count / 1e6).toFixed(count < 1e6 ? 2 : 1);
  const rows = idle.map(({ title }, index) => {
    const { sent, received } = bytes[index]!;
    const all = daily(sent + received);
    return [title, ...[daily(sent), daily(received), all, 30 * all].map((each) => `${megabytes(each)} MB`)];
  });
  const head = ["an idle tunnel", "sent a day", "received a day", "both a day", "both in 30 days"];
  return markdown([measured, "", ...table(head, rows)]);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
