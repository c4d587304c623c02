import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { hostOf } from "./names.ts";
import { readStackState } from "./remote/stackState.ts";

/** The kinds of components that a run can leave as they are. */
export type KeptKind = "PublicHost" | "InternalHost" | "ReverseTunnel";

/** A resource of the state. */
interface StateEntry {
  /** The types of its parents, and its own. */
  types: string[];
  name: string;
  outputs: Record<string, unknown>;
}

/** A component that is kept: the outputs that it registered, and all that is in it. */
export interface KeptComponent {
  outputs: Record<string, unknown>;
  resources: pulumi.Resource[];
  /** @see ReverseTunnel.admitted */
  admitted: pulumi.Resource | undefined;
}

/** A tunnel of the state. */
export interface StateTunnel {
  name: string;
  /** The hosts that it has something on. */
  hosts: string[];
}

/** What the state has of the stack's resources before this run. */
export class KeptState {
  private readonly entries: StateEntry[];

  private constructor(entries: StateEntry[]) {
    this.entries = entries;
  }

  static async read(): Promise<KeptState> {
    return new KeptState(
      Object.entries(await readStackState()).map(([urn, state]) => {
        const [, , types = "", ...name] = urn.split("::");
        return { types: types.split("$"), name: name.join("::"), outputs: state.outputs ?? {} };
      }),
    );
  }

  /**
   * Registers a component with all that the state has in it, so that the engine finds everything as it was: nothing is
   * created, changed or removed, and no host is contacted. Returns undefined if the state does not have it.
   *
   * A removal of everything goes by what depends on what, so each resource depends on those that come before it in the
   * order of the stages, as far as they are kept, and on `after`.
   */
  keep(kind: KeptKind, name: string, after: pulumi.Resource[] = []): KeptComponent | undefined {
    const type = typeOf(kind);
    const top = this.entries.find((entry) => entry.types.join() === type && entry.name === name);
    if (!top) return undefined;
    const component = new pulumi.ComponentResource(type, name);
    const kept: pulumi.Resource[] = [];
    let admitted: pulumi.Resource | undefined;
    const registerChildren = (entry: StateEntry, parent: pulumi.Resource): void => {
      for (const child of this.childrenOf(entry).sort(byStage)) {
        const resource = register(child, { parent, dependsOn: [...after, ...kept] });
        if (isComponent(child)) registerChildren(child, resource);
        else kept.push(resource);
        if (child.name.endsWith("-admit")) admitted = resource;
      }
    };
    registerChildren(top, component);
    (component as unknown as { registerOutputs: (outputs: object) => void }).registerOutputs(top.outputs);
    return { outputs: top.outputs, resources: kept, admitted };
  }

  /** The tunnels that the state has. */
  tunnels(): StateTunnel[] {
    return this.entries
      .filter(({ types }) => types.join() === typeOf("ReverseTunnel"))
      .map((tunnel) => {
        const hosts = this.childrenOf(tunnel).flatMap(({ name }) => hostOf(tunnel.name, name) ?? []);
        return { name: tunnel.name, hosts: [...new Set(hosts)] };
      });
  }

  /** A URN has its parents' types, but not their names; the name of a child begins with its parent's. */
  private childrenOf(parent: StateEntry): StateEntry[] {
    const siblings = this.entries.filter(({ types }) => types.join() === parent.types.join());
    return this.entries
      .filter(({ types }) => types.slice(0, -1).join() === parent.types.join())
      .filter(
        ({ name }) =>
          longest(siblings.filter((each) => name.startsWith(`${each.name}-`)))?.name === parent.name,
      );
  }
}

const typeOf = (kind: KeptKind) => `ssh-reverse-tunnel:index:${kind}`;

const longest = (entries: StateEntry[]) => [...entries].sort((a, b) => b.name.length - a.name.length)[0];

const isComponent = ({ types }: StateEntry) => types.at(-1)!.startsWith("ssh-reverse-tunnel:");

/** The ends of the names of what a component has, in the order in which it is made. */
const order = [
  ...["-facts", "-tools", "-server", "-ssh-port", "-notify"],
  ...["-login-keys", "-prepare", /-port-[^.]*$/, "-admit", "-firewall-ports", "-start"],
  ...["-change", "-confirm", "-settle", "-finish"],
];

function byStage(a: StateEntry, b: StateEntry): number {
  const rank = ({ name }: StateEntry) =>
    order.findIndex((end) => (typeof end === "string" ? name.endsWith(end) : end.test(name)));
  return rank(a) - rank(b) || (a.name < b.name ? -1 : 1);
}

/** A resource whose inputs are those in the state, whatever is given here. */
function register({ types, name, outputs }: StateEntry, opts: pulumi.CustomResourceOptions): pulumi.Resource {
  const type = types.at(-1)!;
  const as = { ...opts, ignoreChanges: ["*"] };
  if (type.startsWith("ssh-reverse-tunnel:")) {
    const component = new pulumi.ComponentResource(type, name, {}, { parent: opts.parent! });
    (component as unknown as { registerOutputs: (outputs: object) => void }).registerOutputs(outputs);
    return component;
  }
  if (type === "command:remote:Command") {
    return new command.remote.Command(name, { connection: { host: "" } }, as);
  }
  if (type === "random:index/randomInteger:RandomInteger") {
    return new random.RandomInteger(name, { min: 0, max: 0 }, as);
  }
  if (type === "pulumi:index:Stash") return new pulumi.Stash(name, { input: null }, as);
  throw new Error(`the state has a resource of the type ${type}, which no earlier version had`);
}
