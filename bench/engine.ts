/**
 * `make bench`: how long the engine takes for one tunnel with two forwards and a login back on two lab hosts, and how
 * many SSH connections it opens to each; then the first up for a tunnel to each of two public hosts. Prints a table; with
 * --write it also updates docs/benchmarks.md.
 */
import { findEngine } from "../lab/engine.ts";
import { exec } from "../lab/exec.ts";
import type { Host } from "../lab/host.ts";
import { Lab } from "../lab/lab.ts";
import { labAdmin, openProgram } from "../lab/program.ts";
import { keep, markdown, table } from "./document.ts";
import { describeMachine, today } from "./machine.ts";
import { type State, stateOf } from "./state.ts";
import { median, worst } from "./statistics.ts";

const ROUNDS = 5;

const firstOfTwo = "first up, two public hosts";

interface Sample {
  seconds: number;
  gate: number;
  nas: number;
}

async function main(): Promise<void> {
  const engine = await findEngine();
  const lab = await Lab.up({
    name: "bench",
    hosts: ["gate", "gate-b", "nas"],
    onProgress: (line) => console.error(line),
  });
  try {
    const { rows, state } = await measure(lab);
    const login = await bareLogin(lab);
    const providers = engine.providers
      .map(({ name, version, origin }) => `${name} ${version} (${origin})`)
      .join(", ");
    const text = await markdown([
      `Measured on ${today()}: ${ROUNDS} rounds, median (worst). ${describeMachine()}, Pulumi ${engine.version}, providers ${providers}.`,
      "",
      `One bare login (\`ssh gate true\`) in the same run: ${login.toFixed(2)} s. The state has ${state.resources} resources in ${(state.bytes / 1000).toFixed(0)} kB.`,
      "",
      `With two public hosts, the first up takes ${timesAsLong(rows)} times as long as with one.`,
      "",
      ...table(
        ["operation", "seconds", "in bare logins", "SSH connections to gate", "to nas"],
        Object.entries(rows).map(([name, samples]) => row(name, samples, login)),
      ),
    ]);
    console.log(text);
    if (process.argv.includes("--write")) keep("make bench", text);
  } finally {
    await lab.down();
  }
}

async function measure(lab: Lab): Promise<{ rows: Record<string, Sample[]>; state: State }> {
  const rows: Record<string, Sample[]> = {
    "first up": [],
    "second up": [],
    preview: [],
    destroy: [],
    [firstOfTwo]: [],
  };
  const [gate, nas] = [lab.host("gate"), lab.host("nas")];
  const stack = await openProgram(lab, { config: settings(lab) });
  const take = async (name: string, operation: () => Promise<{ seconds: number }>): Promise<void> => {
    const before = [await adminLogins(gate), await adminLogins(nas)] as const;
    const { seconds } = await operation();
    const after = [await adminLogins(gate), await adminLogins(nas)] as const;
    rows[name]?.push({ seconds, gate: after[0] - before[0], nas: after[1] - before[1] });
  };
  let state: State = { bytes: 0, resources: 0 };
  for (let round = 1; round <= ROUNDS; round++) {
    console.error(`round ${round} of ${ROUNDS} …`);
    await take("first up", () => stack.up());
    await take("second up", () => stack.up());
    await take("preview", () => stack.preview());
    state = await stateOf(stack);
    await take("destroy", () => stack.destroy());
    await stack.setConfig(settings(lab, ["gate", "gate-b"]));
    await take(firstOfTwo, () => stack.up());
    await stack.destroy();
    await stack.setConfig(settings(lab));
  }
  return { rows, state };
}

function timesAsLong(rows: Record<string, Sample[]>): string {
  const [one, two] = ["first up", firstOfTwo].map((name) =>
    median(rows[name]!.map(({ seconds }) => seconds)),
  );
  return (two! / one!).toFixed(2);
}

function settings(lab: Lab, gates = ["gate"]): Record<string, unknown> {
  const publicHost = (name: string) => ({ ...labAdmin(lab, lab.host(name)), allowUsers: ["root", "admin"] });
  return {
    publicHosts: Object.fromEntries(gates.map((name) => [name, publicHost(name)])),
    internalHosts: {
      nas: {
        ...labAdmin(lab, lab.host("nas")),
        publicHosts: gates,
        forwards: { ssh: { remotePort: 2222, target: 22 }, web: { remotePort: 8080, target: 80 } },
        logins: [{ from: "root", to: "root" }],
      },
    },
  };
}

/** Pulumi's logins so far: the tunnel's own are for another account, or come from the other host. */
async function adminLogins(host: Host): Promise<number> {
  const runner = host.address.replace(/[0-9]+$/, "1");
  const { stdout } = await host.run(
    `journalctl -q -o cat | grep -cF 'Accepted publickey for root from ${runner} ' || :`,
  );
  return Number(stdout);
}

/** Seconds for one login that does nothing, the median of ten. */
async function bareLogin(lab: Lab): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 10; i++) {
    const started = performance.now();
    await exec("ssh", ["-F", lab.sshConfigFile, "gate", "true"]);
    times.push((performance.now() - started) / 1000);
  }
  return median(times);
}

function row(name: string, samples: Sample[], login: number): string[] {
  const seconds = samples.map((sample) => sample.seconds);
  const most = (host: "gate" | "nas") => worst(samples.map((sample) => sample[host])).toFixed(0);
  return [
    name,
    `${median(seconds).toFixed(1)} (${worst(seconds).toFixed(1)})`,
    (median(seconds) / login).toFixed(0),
    most("gate"),
    most("nas"),
  ];
}

main().catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
