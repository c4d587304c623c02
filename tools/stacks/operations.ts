/** What can be done with one stack of a folder. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ConcurrentUpdateError, LocalWorkspace, Stack } from "@pulumi/pulumi/automation/index.js";
import type { OpMap, PreviewOptions, UpOptions } from "@pulumi/pulumi/automation/index.js";
import { parse } from "yaml";
import { printable } from "../../components/remote/printable.ts";
import { nameOf, Report } from "../../lab/engine/report.ts";
import { projectIn } from "../stackSettings.ts";
import { driftOfStack, exitStatusOf as driftStatusOf } from "../drift.ts";
import { exitStatusOf, statusOfStack, tableOf } from "../status.ts";
import type { Change, Operation, StackResult } from "./result.ts";
import { changesInLines, changesInWords } from "./result.ts";
import type { RunOptions } from "./run.ts";

const run = promisify(execFile);

type Found = Pick<StackResult, "outcome" | "text"> & Partial<StackResult>;

/** An operation of Pulumi that failed, with what its engine said. */
class OperationError extends Error {
  readonly report: Report;
  constructor(report: Report, cause: unknown) {
    super("", { cause });
    this.report = report;
  }
}

/** The operations on the stacks of a folder. Each fails if it cannot be done. */
export async function operationsIn(
  options: RunOptions & { signal: AbortSignal },
): Promise<Record<Operation, (stack: string) => Promise<Found>>> {
  const { folder, signal, say } = options;
  const workspace = await LocalWorkspace.create({ ...options.workspace, workDir: folder });
  // `pulumi stack select` would change which stack the user's own commands are for.
  workspace.selectStack = () => Promise.resolve();
  // In a backend that many folders share, only those of this project.
  const existing = new Set((await workspace.listStacks()).map(({ name }) => name.split("/").at(-1)!));

  /** Does something with the engine, and returns which resources changed. */
  const engine = async <T>(
    act: (how: PreviewOptions & UpOptions) => Promise<T>,
  ): Promise<{ result: T; resources: Change[] }> => {
    const report = new Report();
    const resources: Change[] = [];
    try {
      const result = await act({
        color: "never",
        signal,
        onEvent: (event) => {
          report.add(event);
          const { op, type, urn } = event.resourcePreEvent?.metadata ?? { op: "same", type: "", urn: "" };
          // A replacement has this step, and two more.
          if (["create", "update", "replace", "delete"].includes(op) && !type.startsWith("pulumi:")) {
            resources.push({ op, type, name: nameOf(urn) });
          }
        },
      });
      // Names begin with the host.
      return { result, resources: resources.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    } catch (error) {
      throw new OperationError(report, error);
    }
  };

  const create = async (stack: string): Promise<void> => {
    const settings = readFileSync(join(projectIn(folder).settingsFolder, `Pulumi.${stack}.yaml`), "utf8");
    const { secretsprovider = "default" } = (parse(settings) ?? {}) as Record<string, string>;
    await run(
      workspace.pulumiCommand.command,
      ["stack", "init", stack, "--no-select", "--secrets-provider", secretsprovider, "--non-interactive"],
      { cwd: folder, env: { ...process.env, ...workspace.envVars } },
    );
    existing.add(stack);
    say(`${stack}: created`);
  };

  const absent: Found = { outcome: "differs", text: "this stack has not been created: 'up' does it" };

  return {
    async preview(name) {
      if (!existing.has(name)) {
        return { ...absent, outcome: options.expectNoChanges ? "differs" : "ok" };
      }
      const stack = await Stack.select(name, workspace);
      const { result, resources } = await engine((how) => stack.preview(how));
      const changes: OpMap = result.changeSummary;
      const differs = options.expectNoChanges === true && resources.length > 0;
      return {
        outcome: differs ? "differs" : "ok",
        text: changesInWords(changes, true),
        details: changesInLines(resources),
        changes,
        resources,
      };
    },

    async up(name) {
      if (!existing.has(name)) await create(name);
      const stack = await Stack.select(name, workspace);
      const { result, resources } = await engine((how) => stack.up(how));
      const changes: OpMap = result.summary.resourceChanges ?? {};
      return { outcome: "ok", text: changesInWords(changes, false), changes, resources };
    },

    async drift(name) {
      if (!existing.has(name)) return absent;
      const { hosts, lines } = await driftOfStack(name, (line) => say(`${name}: ${line}`));
      const outcome = (["ok", "differs", "failed"] as const)[driftStatusOf(hosts)]!;
      const findings = hosts.flatMap(({ drift }) => drift).length;
      const unseen = hosts.filter(({ error }) => error !== null).map(({ host }) => host);
      const text =
        unseen.length > 0
          ? `not all of ${unseen.join(", ")} could be looked at`
          : findings > 0
            ? `${findings} thing${findings === 1 ? "" : "s"} changed by hand`
            : "nothing differs";
      return { outcome, text, hosts, details: lines };
    },

    async status(name) {
      if (!existing.has(name)) return absent;
      const hosts = await statusOfStack(name, (line) => say(`${name}: ${line}`));
      const isUp = exitStatusOf(hosts) === 0;
      return {
        outcome: isUp ? "ok" : "differs",
        text: isUp ? "all tunnels are up" : "not all tunnels are up",
        hosts,
        details: isUp ? [] : tableOf(hosts).split("\n"),
      };
    },
  };
}

/** Why it failed: one sentence, with what to do about it where Pulumi's own does not say. */
export function sentenceOf(error: unknown, stack: string): string {
  const cause = error instanceof OperationError ? error.cause : error;
  const [first, ...others] = error instanceof OperationError ? error.report.errors : [];
  const { stderr, message } = cause as Error & { stderr?: string };
  const said = stderr || message;
  if (cause instanceof ConcurrentUpdateError) {
    const by = /created by (.*)$/m.exec(said)?.[1];
    return `another run has locked it${by === undefined ? "" : ` (${printable(by)})`}; wait until that has ended or, if it died, run 'pulumi cancel --stack ${stack}'`;
  }
  const more = others.length > 0 ? ` (and ${others.length} more error${others.length === 1 ? "" : "s"})` : "";
  return shortened(first ?? said) + more;
}

/** The line with the error itself, of all that a program of Pulumi's or of ours has printed; a list in one line. */
function shortened(text: string): string {
  if (text.includes("spawn pulumi ENOENT")) return "there is no pulumi on the PATH; install it";
  // The Automation API repeats it all after "err?".
  const [, said = text] = /^\s*error: ([^]*?)(?:\n err\?: |$(?![^]))/m.exec(text) ?? [];
  const [line, ...list] = said.trim().split(/\s*\n\s*/);
  return printable(line!.endsWith(":") ? `${line} ${list.join("; ")}` : line!, 1000);
}
