import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  type Deployment,
  type EngineEvent,
  LocalWorkspace,
  type OutputMap,
  type Stack,
} from "@pulumi/pulumi/automation/index.js";
import { execa } from "execa";
import { findEngine } from "./engine.ts";
import { Report, type Step } from "./engine/report.ts";
import { projectSettings, takeSettings } from "./engine/settings.ts";

/** Which stack to open, and what it runs. */
export interface StackOptions {
  project: string;
  stack: string;
  /** The program, run inside this process; what it returns are the stack's outputs. */
  program: () => Promise<Record<string, unknown> | void>;
  /** Settings by key, without the project's prefix; objects and lists are structured configuration. */
  config?: Record<string, unknown>;
  /**
   * A Pulumi.<stack>.yaml whose settings are used; `config` goes on top. Its secrets are read with
   * PULUMI_CONFIG_PASSPHRASE, and its keys must bear the prefix of this very project.
   */
  stackFile?: string;
  /** The stack's state and settings live under this folder, which is made where it is missing. */
  directory: string;
  /** Variables of the engine's environment, beside the lab's own. */
  env?: Record<string, string>;
  /** How many resources an `up` works on at once, `--parallel`. Default: the engine's own. */
  parallel?: number;
  /** What the engine prints, as it prints it. */
  onOutput?: (text: string) => void;
  /** Every event of the engine. */
  onEvent?: (event: EngineEvent) => void;
  /** Each resource that is done, counted. */
  onStep?: (step: Step) => void;
}

/** What came of one operation on a stack. */
export interface Result {
  /** How many resources were, or in a preview would be, created, updated, deleted, replaced, left the same. */
  changes: Record<string, number>;
  /** The stack's outputs, secrets unwrapped; a preview and a destroy have none. */
  outputs: Record<string, unknown>;
  stdout: string;
  seconds: number;
  /** Warnings, errors and what the program logged, each as "warning: <resource>: <text>". */
  diagnostics: string[];
}

/** A failed operation: the message holds the error of each resource that failed, and no more. */
export class StackError extends Error {
  override readonly name = "StackError";
  readonly diagnostics: string[];
  readonly stdout: string;

  constructor(message: string, diagnostics: string[], stdout: string, cause: unknown) {
    super(message, { cause });
    this.diagnostics = diagnostics;
    this.stdout = stdout;
  }
}

/** Of every stack whose user gives none: the lab's states hold nothing worth hiding. */
const PASSPHRASE = "lab";

/** Opens a stack, or makes it, with its state in a folder of its own. */
export async function openStack(options: StackOptions): Promise<LabStack> {
  const engine = await findEngine();
  const { project, stack: stackName, directory } = options;
  const state = join(directory, "state");
  await mkdir(state, { recursive: true });
  const backend = pathToFileURL(state).href;
  const stack = await LocalWorkspace.createOrSelectStack(
    { projectName: project, stackName, program: async () => (await options.program()) ?? {} },
    {
      workDir: directory,
      pulumiCommand: engine.command,
      pulumiHome: engine.home,
      secretsProvider: "passphrase",
      envVars: {
        ...engine.env,
        // Of the two, the environment's backend would win over the project's.
        PULUMI_BACKEND_URL: backend,
        PULUMI_CONFIG_PASSPHRASE: process.env.PULUMI_CONFIG_PASSPHRASE ?? PASSPHRASE,
        ...options.env,
      },
      projectSettings: projectSettings(project, engine, backend),
    },
  );
  if (options.stackFile !== undefined) await takeSettings(stack, options.stackFile);
  const lab = new LabStack(stack, options);
  await lab.setConfig(options.config ?? {});
  return lab;
}

/** One open stack. Each operation waits for its end, and throws a {@link StackError} where it fails. */
export class LabStack {
  /** The Automation API's own stack, for what is not here. */
  readonly automation: Stack;
  private readonly options: StackOptions;

  constructor(stack: Stack, options: StackOptions) {
    this.automation = stack;
    this.options = options;
  }

  /** The signal, as those below, ends the operation as Ctrl-C does. */
  up(signal?: AbortSignal): Promise<Result> {
    return this.run("up", signal, async (callbacks) => {
      const { parallel } = this.options;
      const { summary, outputs } = await this.automation.up({ ...callbacks, ...(parallel && { parallel }) });
      return { changes: summary.resourceChanges, outputs };
    });
  }

  preview(signal?: AbortSignal): Promise<Result> {
    return this.run("preview", signal, async (callbacks) => {
      const { changeSummary } = await this.automation.preview(callbacks);
      return { changes: changeSummary };
    });
  }

  destroy(signal?: AbortSignal): Promise<Result> {
    return this.run("destroy", signal, async (callbacks) => {
      const { summary } = await this.automation.destroy(callbacks);
      return { changes: summary.resourceChanges };
    });
  }

  refresh(): Promise<Result> {
    return this.run("refresh", undefined, async (callbacks) => {
      const { summary } = await this.automation.refresh(callbacks);
      return { changes: summary.resourceChanges, outputs: await this.automation.outputs() };
    });
  }

  /** The state as the engine keeps it, secrets encrypted (`automation.exportStack` would reveal them). */
  async export(): Promise<Deployment> {
    const { path } = await findEngine();
    const { workDir, envVars } = this.automation.workspace;
    const args = ["stack", "export", "--stack", this.automation.name];
    const { stdout } = await execa(path, args, { cwd: workDir, env: envVars });
    return JSON.parse(stdout) as Deployment;
  }

  /** Sets these settings, and leaves the others; undefined removes one. Objects are structured configuration. */
  async setConfig(values: Record<string, unknown>): Promise<void> {
    if (Object.keys(values).length === 0) return;
    const { workspace, name } = this.automation;
    const settings = await workspace.stackSettings(name);
    const config = { ...settings.config };
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) delete config[`${this.options.project}:${key}`];
      else config[`${this.options.project}:${key}`] = value;
    }
    await workspace.saveStackSettings(name, { ...settings, config });
  }

  /** Encrypts one setting; with `path`, the key may point into an object: "publicHosts.home.password". */
  async setSecret(key: string, value: string, path = false): Promise<void> {
    await this.automation.setConfig(`${this.options.project}:${key}`, { value, secret: true }, path);
  }

  /** Forgets the stack and its settings; its resources must have been destroyed before. */
  async remove(): Promise<void> {
    await this.automation.workspace.removeStack(this.automation.name);
  }

  private async run(
    operation: string,
    signal: AbortSignal | undefined,
    act: (callbacks: Callbacks) => Promise<Outcome>,
  ): Promise<Result> {
    const report = new Report(this.options.onStep);
    const { onOutput, onEvent } = this.options;
    const started = performance.now();
    let stdout = "";
    try {
      const { changes = {}, outputs = {} } = await act({
        onOutput: (text) => {
          stdout += text;
          onOutput?.(text);
        },
        onEvent: (event) => {
          report.add(event);
          onEvent?.(event);
        },
        color: "never",
        ...(signal ? { signal } : {}),
      });
      const seconds = (performance.now() - started) / 1_000;
      const { diagnostics } = report;
      return { changes, outputs: plainOutputs(outputs), stdout, seconds, diagnostics };
    } catch (error) {
      throw this.explain(operation, error, report, stdout);
    }
  }

  private explain(operation: string, error: unknown, report: Report, stdout: string): StackError {
    const details = report.errors.length > 0 ? report.errors.join("\n") : withoutCommand(error);
    const message = `${operation} of stack "${this.automation.name}" failed:\n${details}`;
    return new StackError(message, report.diagnostics, stdout, error);
  }
}

interface Callbacks {
  onOutput: (text: string) => void;
  onEvent: (event: EngineEvent) => void;
  color: "never";
  signal?: AbortSignal;
}

interface Outcome {
  changes?: Record<string, number> | undefined;
  outputs?: OutputMap;
}

function plainOutputs(outputs: OutputMap): Record<string, unknown> {
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value as unknown]));
}

/** What the CLI itself complained of, without its command line, which the Automation API puts around it twice. */
function withoutCommand(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return (/^error: ([^]*?)\n err\?: /m.exec(text)?.[1] ?? text).trim();
}
