/** Several tunnels to one internal host: which one its admin connection goes through. */
import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { askHost, withFolder } from "./askHost.ts";
import { printable } from "./printable.ts";
import { readStackState } from "./stackState.ts";

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

/** The way that was chosen, and what is known about the others. */
type Choice = Omit<Ways, "state"> & { connection: Connection };

/** Why a way does not answer; undefined if it does. */
type Answers = (connection: Connection) => Promise<string | undefined>;

/** How many hosts are tried at the same time: sshd drops connections at random while ten are logging in. */
const atOnce = 8;

/**
 * Tries, for each host with several ways, a login over each, and chooses the first that answers. If none does, it is the
 * first, so that the error is about that one.
 *
 * A preview tries none of them, since it connects to no host. It plans nothing because of that: see {@link keepWay}.
 *
 * @param looks whether this run looks at the hosts anyway, also in a preview
 * @param answers why a way does not answer: by a login, unless a test knows
 * @param log where it says what it tries, and what does not answer
 */
export async function chooseWays<T extends HostWithWays>(
  hosts: Record<string, T>,
  looks = false,
  answers?: Answers,
  log: Log = pulumi.log,
): Promise<Record<string, Omit<T, "ways"> & { ways: Ways | undefined }>> {
  const queue = Object.entries(hosts).filter(([, { skip }]) => !skip);
  const chosen = new Map<string, Choice>();
  // Read here: a transform is called from outside the program.
  const several = queue.some(([, { ways }]) => ways.length > 1);
  const state = several ? readState() : Promise.resolve<State>(new Map());
  const work = async (answers: Answers) => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [name, { ways }] = next;
      if (ways.length > 1) chosen.set(name, await choose(name, ways, looks, answers, log));
    }
  };
  const all = (each: Answers) => Promise.all(Array.from({ length: atOnce }, () => work(each)));
  if (answers) await all(answers);
  else if (several) await withFolder((folder) => all((connection) => tryLogin(connection, folder)));
  return Object.fromEntries(
    Object.entries(hosts).map(([name, host]) => {
      const choice = chosen.get(name);
      if (!choice) return [name, { ...host, ways: undefined }];
      const { connection, ...ways } = choice;
      return [name, { ...host, connection, ways: { ...ways, state } }];
    }),
  );
}

async function choose(
  name: string,
  ways: ThroughTunnel[],
  looks: boolean,
  answers: Answers,
  log: Log,
): Promise<Choice> {
  const common = { all: ways, admits: new Map<string, pulumi.Resource>() };
  const usable = ways.filter(({ skip }) => !skip);
  const first = usable[0]!;
  if ((pulumi.runtime.isDryRun() && !looks) || usable.length === 1)
    return { connection: first.connection, through: first.tunnel, others: [], ...common };
  await log.info(`${name}: trying its tunnels to ${usable.map((way) => way.publicHost).join(", ")}`);
  const reasons = await Promise.all(usable.map(({ connection }) => answers(connection)));
  for (const [index, reason] of reasons.entries()) {
    if (reason === undefined) continue;
    await log.warn(
      `${name} does not answer through its tunnel '${usable[index]!.tunnel}' to ${usable[index]!.publicHost}: ${reason}`,
    );
  }
  const answering = usable.filter((_way, index) => reasons[index] === undefined);
  const { tunnel: through, connection } = answering[0] ?? first;
  const others = answering.map(({ tunnel }) => tunnel).filter((name) => name !== through);
  return { connection, through, others, ...common };
}

/** How many seconds a login may take: ssh itself waits ten for each of the two hosts. */
const loginTimeout = 25;

/** Logs in and runs nothing; returns what prevents it. */
async function tryLogin(connection: Connection, folder: string): Promise<string | undefined> {
  const { ending } = await askHost(connection, folder, "exit 0", { seconds: loginTimeout });
  if (ending.code === 0) return undefined;
  if (ending.code === null) return `no answer in ${loginTimeout} s`;
  return (
    printable(ending.stderr.trim().split("\n").at(-1) ?? "", 200) || `ssh ended with status ${ending.code}`
  );
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
