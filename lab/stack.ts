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
import type { Backend } from "./backends/server.ts";
import { findEngine } from "./engine.ts";
import { Report, type Step } from "./engine/report.ts";
import { projectSettings, takeSettings } from "./engine/settings.ts";

/** Which stack to open, and what it runs. */
export interface StackOptions {
  project: string;
  stack: string;
  /** The program, run inside this process; it returns the stack's outputs. */
  program: () => Promise<Record<string, unknown> | void>;
  /** Settings by key, without the project's prefix; objects and lists are structured configuration. */
  config?: Record<string, unknown>;
  /**
   * A Pulumi.<stack>.yaml whose settings are used; `config` overrides them. Its secrets are read with
   * PULUMI_CONFIG_PASSPHRASE, and its keys must have the prefix of this project.
   */
  stackFile?: string;
  /** The folder for the stack's settings, and its state, which is created if it does not exist. */
  directory: string;
  /** Where the state is kept. Default: in files in the stack's folder. */
  backend?: Backend;
  /** Variables of the engine's environment, in addition to the lab's own. */
  env?: Record<string, string>;
  /** How many resources an `up` works on at once, `--parallel`. Default: the engine's own. */
  parallel?: number;
  /** The engine's output, as it is printed. */
  onOutput?: (text: string) => void;
  /** Every event of the engine. */
  onEvent?: (event: EngineEvent) => void;
  /** Each finished resource, counted. */
  onStep?: (step: Step) => void;
}

/** The result of one operation on a stack. */
export interface Result {
  /** How many resources were created, updated, deleted, replaced or left unchanged, or would be in a preview. */
  changes: Record<string, number>;
  /** The stack's outputs, secrets unwrapped; a preview and a destroy have none. */
  outputs: Record<string, unknown>;
  stdout: string;
  seconds: number;
  /** Warnings, errors and what the program logged, each as "warning: <resource>: <text>". */
  diagnostics: string[];
}

/** A failed operation: the message contains only the error of each resource that failed. */
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

/** For all stacks without their own: the lab's states contain nothing worth hiding. */
const PASSPHRASE = "lab";

/** Opens a stack, or creates it, with its state in its own folder. */
export async function openStack(options: StackOptions): Promise<LabStack> {
  const engine = await findEngine();
  const { project, stack: stackName, directory } = options;
  const state = join(directory, "state");
  await mkdir(state, { recursive: true });
  const backend = options.backend ?? { url: pathToFileURL(state).href, env: {} };
  const stack = await LocalWorkspace.createOrSelectStack(
    { projectName: project, stackName, program: async () => (await options.program()) ?? {} },
    {
      workDir: directory,
      pulumiCommand: engine.command,
      pulumiHome: engine.home,
      secretsProvider: "passphrase",
      envVars: {
        ...engine.env,
        // The backend in the environment would override the project's.
        PULUMI_BACKEND_URL: backend.url,
        ...backend.env,
        PULUMI_CONFIG_PASSPHRASE: process.env.PULUMI_CONFIG_PASSPHRASE ?? PASSPHRASE,
        ...options.env,
      },
      projectSettings: projectSettings(project, engine, backend.url),
    },
  );
  if (options.stackFile !== undefined) await takeSettings(stack, options.stackFile);
  const lab = new LabStack(stack, options);
  await lab.setConfig(options.config ?? {});
  return lab;
}

/** One open stack. Each operation waits until it has ended, and throws a {@link StackError} if it fails. */
export class LabStack {
  /** The Automation API's own stack, for whatever is missing here. */
  readonly automation: Stack;
  private readonly options: StackOptions;

  constructor(stack: Stack, options: StackOptions) {
    this.automation = stack;
    this.options = options;
  }

  /** The signal, like those below, ends the operation as Ctrl-C does. */
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

  /** The state as the engine stores it, with secrets encrypted (`automation.exportStack` would reveal them). */
  async export(): Promise<Deployment> {
    const { path } = await findEngine();
    const { workDir, envVars } = this.automation.workspace;
    const args = ["stack", "export", "--stack", this.automation.name];
    const { stdout } = await execa(path, args, { cwd: workDir, env: envVars });
    return JSON.parse(stdout) as Deployment;
  }

  /** Sets these settings, and keeps the others; undefined removes one. Objects are structured configuration. */
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

  /** Deletes the stack and its settings; its resources must have been destroyed before. */
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

/** The CLI's own error, without its command line, which the Automation API repeats twice around it. */
function withoutCommand(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return (/^error: ([^]*?)\n err\?: /m.exec(text)?.[1] ?? text).trim();
}
