/**
 * `make bench`: how long the engine takes for one tunnel with two forwards and a return path on two lab hosts, and how
 * many SSH connections it opens to each. Prints a table; with --write also keeps it in docs/benchmarks.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { findEngine } from "../lab/engine.ts";
import { exec } from "../lab/exec.ts";
import type { Host } from "../lab/host.ts";
import { Lab } from "../lab/lab.ts";
import { labAdmin, openProgram } from "../lab/program.ts";

const ROUNDS = 5;
const DOCUMENT = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));
const MARKERS = ["<!-- begin: make bench -->", "<!-- end: make bench -->"] as const;

interface Sample {
  seconds: number;
  gate: number;
  nas: number;
}

async function main(): Promise<void> {
  const engine = await findEngine();
  const lab = await Lab.up({
    name: "bench",
    hosts: ["gate", "nas"],
    onProgress: (line) => console.error(line),
  });
  try {
    const rows = await measure(lab);
    const login = await bareLogin(lab);
    const providers = engine.providers
      .map(({ name, version, origin }) => `${name} ${version} (${origin})`)
      .join(", ");
    const text = await format(
      [
        `Measured on ${new Date().toISOString().slice(0, 10)}: ${ROUNDS} rounds, median (worst). ` +
          `${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.versions.node}, Pulumi ${engine.version}, providers ${providers}.`,
        "",
        `One bare login (\`ssh gate true\`) in the same run: ${login.toFixed(2)} s.`,
        "",
        "| operation | seconds | in bare logins | SSH connections to gate | to nas |",
        "| --- | --- | --- | --- | --- |",
        ...Object.entries(rows).map(([name, samples]) => row(name, samples, login)),
      ].join("\n"),
      { parser: "markdown", printWidth: 110 },
    );
    console.log(text);
    if (process.argv.includes("--write")) keep(text);
  } finally {
    await lab.down();
  }
}

async function measure(lab: Lab): Promise<Record<string, Sample[]>> {
  const rows: Record<string, Sample[]> = { "first up": [], "second up": [], preview: [], destroy: [] };
  const [gate, nas] = [lab.host("gate"), lab.host("nas")];
  const stack = await openProgram(lab, { config: settings(lab) });
  const take = async (name: string, operation: () => Promise<{ seconds: number }>): Promise<void> => {
    const before = [await adminLogins(gate), await adminLogins(nas)] as const;
    const { seconds } = await operation();
    const after = [await adminLogins(gate), await adminLogins(nas)] as const;
    rows[name]?.push({ seconds, gate: after[0] - before[0], nas: after[1] - before[1] });
  };
  for (let round = 1; round <= ROUNDS; round++) {
    console.error(`round ${round} of ${ROUNDS} …`);
    await take("first up", () => stack.up());
    await take("second up", () => stack.up());
    await take("preview", () => stack.preview());
    await take("destroy", () => stack.destroy());
  }
  return rows;
}

function settings(lab: Lab): Record<string, unknown> {
  return {
    publicHosts: { gate: { ...labAdmin(lab, lab.host("gate")), allowUsers: ["root", "admin"] } },
    internalHosts: {
      nas: {
        ...labAdmin(lab, lab.host("nas")),
        forwards: { ssh: { remotePort: 2222, target: 22 }, web: { remotePort: 8080, target: 80 } },
        returnPath: [{ from: "root", to: "root" }],
      },
    },
  };
}

/** Logins that Pulumi made so far: the tunnel's own are by another account, or from the other host. */
async function adminLogins(host: Host): Promise<number> {
  const runner = host.address.replace(/[0-9]+$/, "1");
  const { stdout } = await host.run(
    `journalctl -q -o cat | grep -cF 'Accepted publickey for root from ${runner} ' || :`,
  );
  return Number(stdout);
}

/** Seconds of one login with nothing to do, the median of ten. */
async function bareLogin(lab: Lab): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 10; i++) {
    const started = performance.now();
    await exec("ssh", ["-F", lab.sshConfigFile, "gate", "true"]);
    times.push((performance.now() - started) / 1000);
  }
  return median(times);
}

function row(name: string, samples: Sample[], login: number): string {
  const seconds = samples.map((sample) => sample.seconds);
  const most = (host: "gate" | "nas") => Math.max(...samples.map((sample) => sample[host]));
  return `| ${name} | ${median(seconds).toFixed(1)} (${Math.max(...seconds).toFixed(1)}) | ${(median(seconds) / login).toFixed(0)} | ${most("gate")} | ${most("nas")} |`;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** Puts the table between the document's markers. */
function keep(text: string): void {
  const document = readFileSync(DOCUMENT, "utf8");
  const [begin, end] = MARKERS.map((marker) => document.indexOf(marker));
  if (begin === undefined || end === undefined || begin < 0 || end < begin) {
    throw new Error(`docs/benchmarks.md has lost its markers ${MARKERS.join(" and ")}`);
  }
  writeFileSync(
    DOCUMENT,
    `${document.slice(0, begin)}${MARKERS[0]}\n\n${text.trim()}\n\n${document.slice(end)}`,
  );
}

main().catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
