/** Several tunnels to one internal host: which one its admin connection goes through. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { printable } from "./printable.ts";
import { readStackState } from "./stackState.ts";
import { sshCommand } from "./sshCommand.ts";

type Connection = command.types.input.remote.ConnectionArgs;

/** An admin connection through a tunnel. */
export interface ThroughTunnel {
  /** The tunnel's name. */
  tunnel: string;
  /** The public host that it ends at. */
  publicHost: string;
  connection: Connection;
  /** Whether the public host is skipped, so that nothing connects to it now. @default false */
  skip?: boolean;
}

/** The choice for one host. */
export interface Ways {
  /** The tunnel that the connection goes through. */
  through: string;
  /** The other tunnels that answered. */
  others: string[];
  /** What the connection could be. */
  all: Pick<ThroughTunnel, "tunnel" | "connection">[];
  /** For each tunnel so far, what has to be there as long as something connects through it. */
  admits: Map<string, pulumi.Resource>;
  /** The last state. */
  state: Promise<State>;
}

/** The resources of a state, by type and name: the inputs and outputs of each. */
type State = Map<string, Record<string, unknown>>;

/** A host with its ways, in the order in which they are tried. */
interface HostWithWays {
  connection: Connection;
  ways: ThroughTunnel[];
  /** Whether nothing connects to it now. @default false */
  skip?: boolean;
}

/** Where sentences for the user go. */
type Log = Record<"info" | "warn", (text: string) => Promise<unknown>>;

/** How many hosts are tried at the same time: sshd drops connections at random while ten are logging in. */
const atOnce = 8;

/**
 * Tries, for each host with several ways, a login over each, and chooses the first that answers. If none does, it is the
 * first, so that the error is about that one.
 *
 * A preview tries none of them, since it connects to no host. It plans nothing because of that: see {@link keepWay}.
 *
 * @param looks whether this run looks at the hosts anyway, also in a preview
 * @param answers why a way does not answer; undefined if it does
 * @param log where it says what it tries, and what does not answer
 */
export async function chooseWays<T extends HostWithWays>(
  hosts: Record<string, T>,
  looks = false,
  answers: (connection: Connection) => Promise<string | undefined> = tryLogin,
  log: Log = pulumi.log,
): Promise<Record<string, Omit<T, "ways"> & { ways: Ways | undefined }>> {
  const queue = Object.entries(hosts).filter(([, { skip }]) => !skip);
  const chosen = new Map<string, Ways | undefined>();
  // Read here: a transform is called from outside the program.
  const state = queue.some(([, { ways }]) => ways.length > 1)
    ? readState()
    : Promise.resolve<State>(new Map());
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [name, { ways }] = next;
      chosen.set(
        name,
        ways.length > 1 ? { ...(await choose(name, ways, looks, answers, log)), state } : undefined,
      );
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return Object.fromEntries(
    Object.entries(hosts).map(([name, host]) => {
      const ways = chosen.get(name);
      const way = host.ways.find(({ tunnel }) => tunnel === ways?.through);
      return [name, { ...host, connection: way?.connection ?? host.connection, ways }];
    }),
  );
}

async function choose(
  name: string,
  ways: ThroughTunnel[],
  looks: boolean,
  answers: (connection: Connection) => Promise<string | undefined>,
  log: Log,
): Promise<Omit<Ways, "state">> {
  const common = { all: ways, admits: new Map<string, pulumi.Resource>() };
  const usable = ways.filter(({ skip }) => !skip);
  const first = usable[0]!;
  if ((pulumi.runtime.isDryRun() && !looks) || usable.length === 1)
    return { through: first.tunnel, others: [], ...common };
  await log.info(`${name}: trying its tunnels to ${usable.map((way) => way.publicHost).join(", ")}`);
  const reasons = await Promise.all(usable.map(({ connection }) => answers(connection)));
  for (const [index, reason] of reasons.entries()) {
    if (reason === undefined) continue;
    await log.warn(
      `${name} does not answer through its tunnel '${usable[index]!.tunnel}' to ${usable[index]!.publicHost}: ${reason}`,
    );
  }
  const answering = usable.filter((_way, index) => reasons[index] === undefined);
  const through = (answering[0] ?? first).tunnel;
  const others = answering.map(({ tunnel }) => tunnel).filter((name) => name !== through);
  return { through, others, ...common };
}

/** How long a login may take: ssh itself waits ten seconds for each of the two hosts. */
const loginTimeout = 25_000;

/** Logs in and runs nothing; returns what prevents it. */
async function tryLogin(connection: Connection): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "ssh-tunnel-way-"));
  try {
    const { file, args, env } = await sshCommand(connection, folder);
    await promisify(execFile)(file, [...args, "exit 0"], {
      env,
      timeout: loginTimeout,
      killSignal: "SIGKILL",
    });
    return undefined;
  } catch (error) {
    const { code, killed, stderr = "" } = error as { code?: unknown; killed?: boolean; stderr?: string };
    if (code === "ENOENT") return "there is no ssh on the PATH here; install OpenSSH's client";
    if (killed) return `no answer in ${loginTimeout / 1000} s`;
    return printable(stderr.trim().split("\n").at(-1) ?? "", 200) || `ssh ended with status ${String(code)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Keeps the way that is in the state if nothing else about a command changes. The connection is an input, so the command
 * would otherwise run again each time that another way is the first to answer.
 *
 * A removal goes the way that is in the state, so it comes before that of the tunnel there.
 */
export function keepWay({ all, admits, state }: Ways, connection: Connection): pulumi.ResourceTransform {
  return async ({ type, name, props, opts }) => {
    const old = (await state).get(`${type}::${name}`);
    if (!old || !(await isUnchanged(old, props))) return undefined;
    const { dialErrorLimit } = connection;
    const isKept = await Promise.all(
      all.map((way) => has(old.connection, { ...connection, ...way.connection, dialErrorLimit })),
    );
    const kept = all[isKept.indexOf(true)];
    if (!kept) return undefined;
    const admit = props.delete === undefined ? undefined : admits.get(kept.tunnel);
    return {
      props,
      opts: {
        ...opts,
        ignoreChanges: [...(opts.ignoreChanges ?? []), "connection"],
        dependsOn: [...((opts.dependsOn ?? []) as pulumi.Resource[]), ...(admit ? [admit] : [])],
      },
    };
  };
}

/** Whether all inputs except the connection are the same. */
async function isUnchanged(old: Record<string, unknown>, props: Record<string, unknown>): Promise<boolean> {
  const inputs = ["create", "update", "delete", "stdin", "logging", "addPreviousOutputInEnv"];
  const same = await Promise.all(inputs.map(async (key) => (await known(props[key])) === old[key]));
  return same.every(Boolean);
}

/** Whether an object of the state has all these values. */
async function has(old: unknown, wanted: unknown): Promise<boolean> {
  const value = await known(wanted);
  if (typeof value !== "object" || value === null) return value === undefined || value === old;
  if (typeof old !== "object" || old === null) return false;
  const all = Object.entries(value).map(([key, each]) => has((old as Record<string, unknown>)[key], each));
  return (await Promise.all(all)).every(Boolean);
}

/** The value of an input without its secrets; a symbol if it is not known. */
function known(input: unknown): Promise<unknown> {
  const output = pulumi.output(input);
  const { isKnown } = output as unknown as { isKnown: Promise<boolean> };
  return Promise.all([isKnown, (output as unknown as { promise(): Promise<unknown> }).promise()]).then(
    ([isThere, value]) => (isThere ? value : Symbol("unknown")),
  );
}

/** The last state. Without it, every command runs once over its new way. */
async function readState(): Promise<State> {
  try {
    return new Map(
      Object.entries(await readStackState()).map(([urn, resource]) => [
        urn.split("::").slice(2).join("::").replace(/^.*\$/, ""),
        plain(resource.outputs) as Record<string, unknown>,
      ]),
    );
  } catch (error) {
    await pulumi.log.debug(`the state cannot be read: ${(error as Error).message}`);
    return new Map();
  }
}

/** A value of the state, its secrets unwrapped at every depth. */
function plain(value: unknown): unknown {
  const bare = pulumi.runtime.unwrapRpcSecret(value) as unknown;
  if (typeof bare !== "object" || bare === null || Array.isArray(bare)) return bare;
  return Object.fromEntries(Object.entries(bare).map(([key, each]) => [key, plain(each)]));
}
