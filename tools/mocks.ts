import * as pulumi from "@pulumi/pulumi";
import * as state from "@pulumi/pulumi/runtime/state.js";
import { parseCommand, textsOf } from "./parseCommand.ts";

/** The project and the stack of every test. */
export const project = "ssh-reverse-tunnel";
const stack = "dev";

/** A resource as it was registered with the engine. */
export interface Recorded {
  /** With the types of all its parents, like the real engine's. */
  urn: string;
  type: string;
  name: string;
  /** Secrets are unwrapped here; see {@link secrets}. */
  inputs: Record<string, unknown>;
  /** The inputs that are secret as a whole. */
  secrets: string[];
  /** URN; empty if it has no parent. */
  parent: string;
  /** Names of the resources that it waits for: those of dependsOn, and those whose outputs are among its inputs. */
  waitsFor: string[];
  /** Names of its error hooks. */
  errorHooks: string[];
  ignoreChanges: string[];
}

/** One thing that a command applies. */
export interface RecordedPart {
  /** Name of the script. */
  script: string;
  /** Its variables, with the texts of programs replaced by their names. */
  values: Record<string, string>;
}

/** A command, with the content of its standard input. */
export class RecordedCommand implements Recorded {
  declare urn: string;
  declare type: string;
  declare name: string;
  declare inputs: Record<string, unknown>;
  declare secrets: string[];
  declare parent: string;
  declare waitsFor: string[];
  declare errorHooks: string[];
  declare ignoreChanges: string[];
  /** The address of the host that it runs on. */
  readonly address: string;
  /** The header's variables; if its whole text is sent, those of its part as well. */
  readonly header: Record<string, string>;
  /** What it applies, in this order. */
  readonly parts: RecordedPart[];

  constructor(resource: Recorded) {
    Object.assign(this, resource);
    const { connection, stdin } = resource.inputs as { connection: { host: string }; stdin: string };
    this.address = connection.host;
    const { header, parts } = textsIn(stdin);
    this.header = header;
    this.parts = parts;
  }

  /** Name of the script of a command with one part. */
  get script(): string {
    return this.onlyPart().script;
  }

  /** All variables of a command with one part. */
  get values(): Record<string, string> {
    return { ...this.header, ...this.onlyPart().values };
  }

  /** The variables of each part with that script. */
  partsOf(script: string): Record<string, string>[] {
    return this.parts.filter((part) => part.script === script).map(({ values }) => values);
  }

  /** The variables of the only part with that script. */
  part(script: string): Record<string, string> {
    const [values, ...others] = this.partsOf(script);
    if (!values || others.length > 0)
      throw new Error(`${this.name} has not one ${script}: ${this.scripts()}`);
    return values;
  }

  private onlyPart(): RecordedPart {
    if (this.parts.length !== 1) throw new Error(`${this.name} has several parts: ${this.scripts()}`);
    return this.parts[0]!;
  }

  private scripts(): string {
    return this.parts.map(({ script }) => script).join(", ");
  }
}

function textsIn(stdin: string): { header: Record<string, string>; parts: RecordedPart[] } {
  const { common, parts } = parseCommand(stdin);
  return {
    header: textsOf(common),
    parts: parts.map(({ script, values }) => ({ script, values: textsOf(values) })),
  };
}

/** What a program registered, in order. */
export class Recording {
  readonly resources: Recorded[] = [];
  /** URNs, one for each call of registerOutputs. */
  readonly outputs: string[] = [];

  get commands(): RecordedCommand[] {
    return this.resources
      .filter(({ type }) => type === "command:remote:Command")
      .map((resource) => new RecordedCommand(resource));
  }

  /** The command of that name. */
  command(name: string): RecordedCommand {
    return new RecordedCommand(
      this.only((resource) => resource.name === name && resource.type.startsWith("command:")),
    );
  }

  /** The component with that class and name. */
  component(type: string, name: string): Recorded {
    return this.only((resource) => resource.name === name && resource.type === componentType(type));
  }

  /** The children of a resource, "Class name" each, sorted. */
  childrenOf(parent: Recorded): string[] {
    return this.resources
      .filter((resource) => resource.parent === parent.urn)
      .map(({ type, name }) => `${type.replace(/^.*:/, "")} ${name}`)
      .sort();
  }

  /** Names of the components that never called registerOutputs, or called it twice. */
  withoutOutputs(): string[] {
    return this.resources
      .filter(({ type }) => type.startsWith(`${project}:`))
      .filter(({ urn }) => this.outputs.filter((each) => each === urn).length !== 1)
      .map(({ name }) => name);
  }

  private only(test: (resource: Recorded) => boolean): Recorded {
    const found = this.resources.filter(test);
    if (found.length !== 1) {
      throw new Error(`there are ${found.length} such resources among ${this.names().join(", ")}`);
    }
    return found[0]!;
  }

  private names(): string[] {
    return this.resources.map(({ name }) => name);
  }
}

export function componentType(name: string): string {
  return `${project}:index:${name}`;
}

/**
 * Runs a program on mocks, waits until everything is registered, and returns what it registered and what it returned.
 * In a preview, no command has an output, as in the preview of a first deployment.
 *
 * @param answers what the parts of a command print, by the names of their scripts, instead of the output of a healthy
 * host
 * @param stacks the outputs of other stacks
 */
export async function record<T>(
  program: () => T,
  preview = false,
  answers: Answers = {},
  stacks: Record<string, Record<string, unknown>> = {},
): Promise<Recording & { result: Awaited<T> }> {
  await pulumi.runtime.setMocks(
    {
      // The state is empty.
      call: ({ token, inputs }) => ({
        outputs:
          token === "pulumi:pulumi:readStackOutputs" ? outputsOfStack((inputs as { name: string }).name) : {},
      }),
      newResource: ({ name, type, inputs }) => ({
        id: `${name}-id`,
        state: { ...(inputs as object), ...(preview ? {} : outputsOf(type, inputs as Inputs, answers)) },
      }),
    },
    project,
    stack,
    preview,
    "organization",
  );
  // Pulumi's own mocks refuse transforms. Nothing calls them here.
  (state as unknown as { getStore: () => { supportsTransforms: boolean } }).getStore().supportsTransforms =
    true;
  const outputsOfStack = (name: string) => {
    if (!stacks[name]) throw new Error(`unknown stack "${name}"`);
    return stacks[name];
  };
  const recording = new Recording();
  listen(recording);
  try {
    const result = await program();
    return Object.assign(recording, { result });
  } finally {
    await pulumi.runtime.disconnect();
  }
}

/** What a part prints, given its values. */
export type Answers = Record<string, (values: Record<string, string>) => string | undefined>;

/** Public host keys of a host, as the mock of hostFacts.sh prints them. */
export function hostKeysOf(host: string): string[] {
  return [`ssh-ed25519 ED25519${base64(host)}`, `ssh-rsa RSA${base64(host)}`];
}

/** What the mock of hostFacts.sh prints for a host called strict: only the last way to become root works there. */
function rootShellOf(host: string, ways: string): string[] {
  return host.startsWith("strict ") ? [`root-shell ${ways.split("\n").pop()}`] : [];
}

/** The public key that the mock of keyPair.sh prints. */
export function publicKeyOf(file: string, comment: string): string {
  return `ssh-ed25519 KEY${base64(file)} ${comment}`;
}

type Inputs = Record<string, unknown>;

/** What the host would have printed. */
function outputsOf(type: string, inputs: Inputs, answers: Answers): Inputs {
  if (type === "random:index/randomInteger:RandomInteger") {
    return { result: Number(inputs.min) + 345 };
  }
  if (type === "random:index/randomId:RandomId") {
    return { hex: "0123456789abcdef" };
  }
  if (type !== "command:remote:Command" || inputs.stdin === undefined) return {};
  const stdin = pulumi.runtime.unwrapRpcSecret(inputs.stdin) as string;
  // On a host called chatty, the admin's login shell prints a greeting first.
  const greeting = stdin.startsWith("HOST='chatty ") ? "Welcome to this host!\n\n" : "";
  return { stdout: greeting + stdoutOf(stdin, answers), stderr: "" };
}

function stdoutOf(stdin: string, answers: Answers): string {
  const { header, parts } = textsIn(stdin);
  return parts
    .map(({ script, values }) => {
      const all = { ...header, ...values };
      return answers[script]?.(all) ?? usualAnswer(script, all);
    })
    .filter((answer) => answer !== undefined)
    .join("\n");
}

function usualAnswer(script: string, values: Record<string, string>): string | undefined {
  switch (script) {
    case "hostFacts":
      return [...rootShellOf(values.HOST!, values.ROOT_SHELLS!), ...hostKeysOf(values.HOST!)].join("\n");
    case "keyPair":
      return `key ${values.ACCOUNT}/${values.FILE} ${publicKeyOf(values.FILE!, values.COMMENT!)}`;
    case "remotePorts":
      return values
        .FORWARDS!.split(" ")
        .map((word) => word.split(","))
        .map(([name, , port]) => `port ${name} ${port!.replace("auto:", "")}`)
        .join("\n");
    default:
      return undefined;
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64").replaceAll("=", "");
}

/** The part of Pulumi's mock monitor that is used here; it does not report parents and dependencies. */
interface Monitor {
  newUrn(parent: string, type: string, name: string): string;
  registerResource(request: Request, callback: Callback): Promise<void>;
  registerResourceOutputs(request: { getUrn(): string }, callback: Callback): void;
  registerErrorHook(request: unknown, callback: Callback): void;
  registerResourceHook(request: unknown, callback: Callback): void;
}

type Callback = (error: Error | null, response?: { getUrn(): string }) => void;

interface Request {
  getType(): string;
  getName(): string;
  getParent(): string;
  getObject(): unknown;
  getDependenciesList(): string[];
  getHooks(): { getOnErrorList(): string[] } | undefined;
  getIgnorechangesList(): string[];
}

function listen(recording: Recording): void {
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor;
  const register = monitor.registerResource.bind(monitor);
  const registerOutputs = monitor.registerResourceOutputs.bind(monitor);
  const urns = new Map<string, string>();
  monitor.newUrn = fullUrn;
  monitor.registerResourceOutputs = (request, callback) => {
    recording.outputs.push(request.getUrn());
    registerOutputs(request, callback);
  };
  monitor.registerErrorHook = (_request, callback) => callback(null);
  monitor.registerResourceHook = (_request, callback) => callback(null);
  monitor.registerResource = (request, callback) =>
    register(request, (error, response) => {
      if (response) {
        urns.set(response.getUrn(), request.getName());
        recording.resources.push(recorded(request, response.getUrn(), urns));
      }
      callback(error, response);
    });
}

function recorded(request: Request, urn: string, urns: Map<string, string>): Recorded {
  const inputs = pulumi.runtime.deserializeProperties(request.getObject() as never);
  return {
    urn,
    type: request.getType(),
    name: request.getName(),
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([key, value]) => [key, pulumi.runtime.unwrapRpcSecret(value) as unknown]),
    ),
    secrets: Object.keys(inputs).filter((key) => pulumi.runtime.isRpcSecret(inputs[key])),
    parent: request.getParent(),
    waitsFor: request
      .getDependenciesList()
      .map((dependency) => urns.get(dependency) ?? dependency)
      .sort(),
    errorHooks: request.getHooks()?.getOnErrorList() ?? [],
    ignoreChanges: request.getIgnorechangesList(),
  };
}

/** The mock's own has only the type of the next parent, which would make different resources look the same. */
function fullUrn(parent: string, type: string, name: string): string {
  const parents = parent ? `${parent.split("::")[2]}$` : "";
  const types = parents === "pulumi:pulumi:Stack$" ? type : parents + type;
  return `urn:pulumi:${[stack, project, types, name].join("::")}`;
}
