import { type Bar, type Panel, type Row, drawChart, linearAxis } from "../chart.ts";
import { table } from "../document.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { type Results, type Run, type Sample, isClean } from "./results.ts";

/** The contenders, with the one that the report is about first. */
export interface Named {
  id: string;
  title: string;
}

/** This project, as one stack and as several, then Ansible with each number of forks that was measured, the largest first. */
export function contendersIn({ fleets }: Results): Named[] {
  const ids = new Set(Object.values(fleets).flatMap((runs) => Object.keys(runs)));
  const numbers = (pattern: RegExp) => [...ids].flatMap((id) => pattern.exec(id)?.slice(1).map(Number) ?? []);
  return [
    { id: "project", title: "this project" },
    ...numbers(/^stacks(\d+)$/).map((count) => ({
      id: `stacks${count}`,
      title: `this project, ${count} stacks`,
    })),
    ...numbers(/^ansible(\d+)$/)
      .toSorted((a, b) => b - a)
      .map((count) => ({ id: `ansible${count}`, title: `Ansible, ${count} forks` })),
  ];
}

/** When and with what each fleet was measured: one line, or a list if that was not the same for all. */
export function measuredLines({ measured }: Results): string[] {
  const texts = [...new Set(Object.values(measured))];
  if (texts.length < 2) return texts.map((text) => `${text}.`);
  return texts.map((text) => {
    const hosts = Object.keys(measured).filter((count) => measured[count] === text);
    return `- Internal hosts: ${hosts.join(", ")}. ${text}.`;
  });
}

/** The lines of all tables: seconds, logins, and what is left afterwards. */
export function fleetTables(results: Results, contenders: Named[]): string[] {
  const titles = contenders.map(({ title }) => title);
  const rowsOf = (cell: (run: Run | undefined, operation: Operation, own: Run | undefined) => string) =>
    OPERATIONS.flatMap((operation) =>
      fleetsOf(results).flatMap(([hosts, runs]) => {
        if (!contenders.some(({ id }) => runs[id]?.samples[operation.id])) return [];
        const own = runs[contenders[0]?.id ?? ""];
        return [[operation.title, hosts, ...contenders.map(({ id }) => cell(runs[id], operation, own))]];
      }),
    );
  return [
    "Seconds; in brackets, how much of them this project takes:",
    "",
    ...table(["operation", "internal hosts", ...titles], rowsOf(secondsCell)),
    "",
    "Logins to the public host, and to the internal host that has most of them:",
    "",
    ...table(["operation", "internal hosts", ...titles], rowsOf(loginsCell)),
    "",
    "The public host during the first operation, and then with nothing to do; what is kept in the state:",
    "",
    ...table(
      [
        ...[
          "internal hosts",
          "made by",
          "admin sessions at the same time",
          "CPU, of one core",
          "MB a tunnel",
        ],
        ...["state, kB", "kB a tunnel", "resources", "resources a tunnel"],
      ],
      fleetsOf(results).flatMap(([hosts, runs]) =>
        contenders.flatMap(({ id, title }) => {
          const run = runs[id];
          return run ? [[hosts, title, ...leftCells(run, Number(hosts))]] : [];
        }),
      ),
    ),
  ];
}

/** The plot for docs/: a panel for each operation, with the seconds of each contender for each number of hosts. */
export function fleetPlot(results: Results, contenders: Named[]): string {
  const panels = OPERATIONS.flatMap((operation): Panel[] => {
    const rows = fleetsOf(results).flatMap(([hosts, runs]) =>
      contenders.flatMap(({ id, title }, index): Row[] => {
        const sample = sampleOf(runs[id], operation);
        if (!sample) return [];
        return [{ label: `${hosts}: ${title}`, highlighted: index === 0, bars: [barOf(sample)] }];
      }),
    );
    if (rows.every(({ highlighted }) => highlighted)) return [];
    const lengths = rows.flatMap(({ bars }) => bars.map((bar) => bar?.value ?? 0)).filter(Number.isFinite);
    const axis = linearAxis(Math.max(1, ...lengths));
    return [{ title: operation.title.replaceAll("`", ""), rows, axis, labelWidth: 150 }];
  });
  return drawChart({ title: "Seconds by the number of internal hosts", columns: 2, panels });
}

/** By the number of hosts, in ascending order. */
function fleetsOf({ fleets }: Results): [string, Record<string, Run>][] {
  return Object.entries(fleets).toSorted(([a], [b]) => Number(a) - Number(b));
}

/** The value to show for an operation; undefined if there is none. */
function sampleOf(run: Run | undefined, { id, like }: Operation): Sample | undefined {
  return run?.samples[id] ?? (like && run?.samples[like]);
}

/** "92", "92 (0.13×)", or how it failed: "failed, 12 lost in 92, 3 lost in 86, then 80". */
function secondsCell(run: Run | undefined, operation: Operation, own: Run | undefined): string {
  const sample = sampleOf(run, operation);
  if (!sample) return "";
  if (!isClean(sample)) return failure(sample);
  const seconds = secondsOf(sample);
  const ours = sampleOf(own, operation);
  if (run === own || !ours || !isClean(ours)) return inWords(seconds);
  return `${inWords(seconds)} (${(secondsOf(ours) / seconds).toFixed(2)}×)`;
}

function failure({ attempts }: Sample): string {
  const parts = attempts.map(({ seconds, failed, lost }) =>
    failed || lost > 0 ? `${lost} lost in ${inWords(seconds)}` : `then ${inWords(seconds)}`,
  );
  return `failed, ${parts.join(", ")}`;
}

function loginsCell(run: Run | undefined, operation: Operation): string {
  const sample = sampleOf(run, operation);
  return sample ? `${sample.gateLogins}, ${sample.internalLogins}` : "";
}

function leftCells({ samples, idle, state }: Run, hosts: number): string[] {
  return [
    samples.first ? `${samples.first.sessions}` : "",
    ...(idle ? [`${(idle.cpu * 100).toFixed(2)} %`, idle.megabytesPerTunnel.toFixed(1)] : ["", ""]),
    ...(state
      ? [
          ...[(state.bytes / 1000).toFixed(0), (state.bytes / 1000 / hosts).toFixed(1)],
          ...[`${state.resources}`, (state.resources / hosts).toFixed(1)],
        ]
      : ["", "", "", ""]),
  ];
}

function barOf(sample: Sample): Bar {
  if (isClean(sample)) return { value: secondsOf(sample), text: inWords(secondsOf(sample)) };
  return { value: Infinity, text: `${sample.attempts[0]?.lost ?? 0} lost` };
}

function secondsOf({ attempts }: Sample): number {
  return attempts[0]?.seconds ?? NaN;
}

function inWords(seconds: number): string {
  return seconds.toFixed(seconds < 10 ? 1 : 0);
}
