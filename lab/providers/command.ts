// The lab's stand-in for the command provider: only remote.Command, which is all that this project uses.
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { type Context, type Failure, type ResourceKind, serve } from "./protocol.ts";
import { type Connection, HOP_DEFAULTS, HOP_PROPERTIES, HOP_SECRETS } from "./ssh/connection.ts";
import { dial } from "./ssh/dial.ts";
import { run } from "./ssh/run.ts";
import {
  diff,
  equal,
  isRecord,
  isSecret,
  isUnknown,
  type Properties,
  reveal,
  secret,
  unknown,
} from "./values.ts";

const INPUTS = new Set([
  "addPreviousOutputInEnv",
  "connection",
  "create",
  "delete",
  "environment",
  "logging",
  "stdin",
  "triggers",
  "update",
]);

/** A command's state, without its secret markers. */
interface State {
  connection: Connection;
  create?: string;
  update?: string;
  delete?: string;
  stdin?: string;
  environment?: Record<string, string>;
  addPreviousOutputInEnv?: boolean;
  logging?: "stdout" | "stderr" | "stdoutAndStderr" | "none";
  stdout?: string;
  stderr?: string;
}

const command: ResourceKind = {
  check(inputs) {
    const failures: Failure[] = [];
    for (const property of Object.keys(inputs)) {
      if (!INPUTS.has(property)) failures.push({ property, reason: "Unrecognized field" });
    }
    return { inputs: { ...inputs, connection: checkConnection(inputs.connection, failures) }, failures };
  },

  // Added or removed triggers require a replacement. For changed ones, the engine decides, because of the resource's
  // own option replaceOnChanges.
  diff(oldInputs, inputs) {
    const changes = diff(oldInputs, inputs);
    return { changes, replaces: changes.has("triggers") ? ["triggers"] : [] };
  },

  async create(inputs, context) {
    const id = context.name + randomBytes(4).toString("hex");
    if (context.preview) return { id, state: { ...inputs, stdout: unknown, stderr: unknown } };
    const output = await execute(inputs, (state) => state.create, context);
    return { id, state: { ...inputs, ...(output ?? { stdout: "", stderr: "" }) } };
  },

  async update(inputs, state, context) {
    const { stdout, stderr } = state;
    if (!context.preview) {
      const output = await execute({ ...inputs, stdout, stderr }, (now) => now.update ?? now.create, context);
      return { ...inputs, ...(output ?? { stdout, stderr }) };
    }
    // The outputs of an update are unknown as soon as one input is unknown or differs from the state.
    const differs = Object.keys({ ...state, ...inputs })
      .filter((key) => INPUTS.has(key))
      .some((key) => isUnknown(inputs[key]) || (key in state && !equal(inputs[key], state[key])));
    return { ...inputs, ...(differs ? { stdout: unknown, stderr: unknown } : { stdout, stderr }) };
  },

  async delete(state, context) {
    await execute(state, (last) => last.delete, context);
  },
};

/** Fills in the defaults, and marks what is secret. */
function checkConnection(given: unknown, failures: Failure[]): unknown {
  const connection = isSecret(given) ? given.value : given;
  if (isUnknown(connection)) return secret(connection);
  if (!isRecord(connection)) {
    failures.push({ property: "connection", reason: "Missing required field 'connection'" });
    return given;
  }
  const { proxy: wrapped, ...hop } = connection;
  const proxy = isSecret(wrapped) ? wrapped.value : wrapped;
  checkNames("Connection", hop, failures);
  if (!isRecord(proxy)) return secret({ ...fillIn(hop), ...(proxy !== undefined && { proxy }) });
  checkNames("ProxyConnection", proxy, failures);
  return secret({ ...fillIn(hop), proxy: fillIn(proxy) });
}

function checkNames(type: string, hop: Properties, failures: Failure[]): void {
  const wrong = Object.keys(hop)
    .filter((name) => !HOP_PROPERTIES.has(name))
    .map((name) => `${name}: Unrecognized field '${name}' on 'remote.${type}'`);
  if (hop.host === undefined) wrong.push(`host: Missing required field 'host' on 'remote.${type}'`);
  if (wrong.length === 0) return;
  const list = wrong.map((line) => `\n\t${line}`).join("");
  const reason = `An error occurred decoding 'CommandInputs.connection': ${wrong.length} failures decoding:${list}`;
  failures.push({ property: "connection", reason });
}

function fillIn(given: Properties): Properties {
  const hop: Properties = { ...HOP_DEFAULTS, ...given };
  for (const name of HOP_SECRETS) if (hop[name] !== undefined) hop[name] = secret(hop[name]);
  return hop;
}

/** Runs the chosen command of a resource, or nothing if it has none. */
async function execute(
  properties: Properties,
  choose: (state: State) => string | undefined,
  { status, signal }: Context,
): Promise<Properties | undefined> {
  const state = reveal(properties) as State;
  const chosen = choose(state);
  if (chosen === undefined) return undefined;
  // One connection for each command, left open: the official provider closes none before its process ends.
  const client = await dial(state.connection, status, signal);
  const previous = state.addPreviousOutputInEnv ?? true;
  const output = await run(client, {
    command: chosen,
    stdin: state.stdin ?? "",
    environment: {
      ...state.environment,
      ...(previous && state.stdout && { PULUMI_COMMAND_STDOUT: state.stdout }),
      ...(previous && state.stderr && { PULUMI_COMMAND_STDERR: state.stderr }),
    },
    logStdout:
      state.logging === undefined || state.logging === "stdout" || state.logging === "stdoutAndStderr",
    logStderr:
      state.logging === undefined || state.logging === "stderr" || state.logging === "stdoutAndStderr",
    log: status,
  });
  return { ...output };
}

const { version } = createRequire(import.meta.url)("@pulumi/command/package.json") as { version: string };
await serve({ name: "command", version, resources: { "command:remote:Command": command } });
