/** Public hosts that another stack manages: what this one takes from its outputs. */
import { isUnknown } from "@pulumi/pulumi";
import { z } from "zod";
import { rootShells } from "../remote/rootShell.ts";
import { namePatterns } from "../render/checks.ts";
import { isMap } from "./defaults.ts";
import { inputError } from "./inputError.ts";

/** The output of a stack that has an entry for each public host that it manages. */
const sharedOutput = "publicHosts";

const hostKey = z.string().regex(/^[a-z][a-z0-9@.-]* [A-Za-z0-9+/]+={0,3}$/);
const text = z.string().min(1);

/** What a stack that only uses a public host has to know about it. */
const sharedHost = z.object({
  address: text,
  sshPort: z.number(),
  admin: z.object({ address: text, port: z.number(), user: text }),
  hostKeys: z.array(hostKey).min(1),
  keyTypes: z.string().regex(/^(ed25519 )?ecdsa$/),
  rootShell: text.refine((each) => (rootShells as readonly string[]).includes(each)),
  evictStale: text.regex(namePatterns.folder),
  portRange: z.object({ first: z.number(), last: z.number() }).optional(),
  toolsDirectory: text,
  namespaces: z.boolean(),
  installPackages: z.boolean(),
  textfileDirectory: text.optional(),
});

/** One entry of the output {@link sharedOutput}. */
export type SharedHost = z.output<typeof sharedHost>;

/** What another stack that manages a public host says about it. */
export interface ManagedHost extends SharedHost {
  /** That stack, for messages. */
  by: string;
}

/** Throws unless what was given is what a stack has in its outputs. */
export function assertValidManaged(host: string, managed: ManagedHost | undefined): ManagedHost | undefined {
  const issue = managed && sharedHost.safeParse(managed).error?.issues[0];
  if (issue) {
    const place = ["managed", ...issue.path].join(".");
    throw inputError(
      `${host}: ${place} must be that of an entry of the other stack's output '${sharedOutput}'`,
    );
  }
  return managed;
}

/** The outputs of a stack, or why they cannot be read. */
export type StackOutputs = { outputs: Record<string, unknown> } | { error: string };

/** What sshd does for the tunnels of all stacks is for the stack that manages the host. */
const ofTheManager = ["allowUsers", "clientAliveIntervalSec", "clientAliveCountMax", "listenOnSshPort"];

type Settings = Record<string, unknown>;

/** @see SettingsError of rules.ts */
interface Mistake {
  path: string[];
  message: string;
}

/** The public hosts of the merged settings that another stack manages. */
function managedHosts({ publicHosts }: Settings): { name: string; host: Settings; by: string }[] {
  return Object.entries(isMap(publicHosts) ? publicHosts : {}).flatMap(([name, host]) =>
    isMap(host) && typeof host.managedBy === "string" ? [{ name, host, by: host.managedBy }] : [],
  );
}

/** The stacks whose outputs the merged settings need. Of a host that is gone, nothing has to be known. */
export const managingStacks = (merged: Settings): string[] => [
  ...new Set(managedHosts(merged).flatMap(({ host, by }) => (host.gone === true ? [] : [by]))),
];

/** The merged settings with what the stacks that manage their public hosts know about these. */
export function withManagedHosts(
  merged: Settings,
  stacks: Record<string, StackOutputs>,
): { settings: Settings; managed: Map<string, ManagedHost>; mistakes: Mistake[] } {
  const managed = new Map<string, ManagedHost>();
  const mistakes: Mistake[] = [];
  const filled = managedHosts(merged).map(({ name, host, by }): [string, unknown] => {
    for (const key of ofTheManager.filter((each) => host[each] !== undefined)) {
      const path = ["publicHosts", name, key];
      mistakes.push({
        path,
        message: `must be left out, since the stack '${by}' manages this host; set it there`,
      });
    }
    // Nothing connects there, whatever its address.
    const unknown = { address: name, ...host };
    if (host.gone === true) return [name, unknown];
    const found = find(name, stacks[by] ?? { error: "nobody has read its outputs" });
    if (typeof found === "string") {
      mistakes.push({
        path: ["publicHosts", name, "managedBy"],
        message: `must be a stack that manages this host: ${found}`,
      });
      return [name, unknown];
    }
    managed.set(name, { by, ...found });
    return [name, fill(host, found)];
  });
  if (filled.length === 0) return { settings: merged, managed, mistakes };
  const publicHosts = { ...(merged.publicHosts as Settings), ...Object.fromEntries(filled) };
  return { settings: { ...merged, publicHosts }, managed, mistakes };
}

/** What the outputs say about a host, or why they do not say it and what to do. */
function find(name: string, stack: StackOutputs): SharedHost | string {
  if ("error" in stack)
    return `it cannot be read (${stack.error}); correct the name, or run 'pulumi up' in that stack first`;
  const { [sharedOutput]: hosts, ...others } = stack.outputs;
  if (!isMap(hosts)) {
    return Object.keys(others).length === 0
      ? "it has no outputs yet; run 'pulumi up' in that stack first"
      : "its outputs are those of an earlier version of this project, or of another program; run 'pulumi up' in that stack with this version first";
  }
  if (!Object.hasOwn(hosts, name)) {
    const names = Object.keys(hosts);
    return `it manages ${names.length > 0 ? `only ${names.join(", ")}` : "no public host"}; add '${name}' to publicHosts in that stack and run 'pulumi up' there, or correct the name`;
  }
  const entry = hosts[name];
  // Of what a stack has not got to know, the engine says so in a preview and nothing otherwise; the Pulumi CLI has a text.
  if (!isMap(entry) || isUnknown(entry))
    return `it has not got to know '${name}', since its last 'pulumi up' failed there; run it again in that stack until it succeeds`;
  const { data } = sharedHost.safeParse(entry);
  return (
    data ??
    `what its outputs have for '${name}' is that of another version of this project; run 'pulumi up' in that stack with this version first`
  );
}

/** The settings of a host, and what they leave out. */
function fill(host: Settings, { admin, ...shared }: SharedHost): Settings {
  const { address, sshPort, portRange, toolsDirectory, namespaces, installPackages } = shared;
  const { textfileDirectory, hostKeys } = shared;
  const own = isMap(host.admin) ? host.admin : {};
  // With a name that ssh knows, its configuration has these.
  const isNamed = own.ssh !== undefined;
  const isPinned = ["hostKey", "knownHostsFile", "acceptAnyHostKey"].some((key) => own[key] !== undefined);
  // The provider can use no others: see hostKey in schema.ts.
  const key = ["ssh-ed25519 ", "ecdsa-"]
    .map((type) => hostKeys.find((each) => each.startsWith(type)))
    .find(Boolean);
  return {
    ...{ address, sshPort, toolsDirectory, namespaces, installPackages },
    ...(portRange && { portRange }),
    ...(textfileDirectory && { textfileDirectory }),
    ...host,
    admin: {
      ...(isNamed ? {} : { port: admin.port }),
      ...(isNamed || host.address !== undefined ? {} : { address: admin.address }),
      ...(isNamed || isPinned || key === undefined ? {} : { hostKey: key }),
      ...own,
    },
  };
}
