/** The policy pack: `pulumi preview --policy-pack policies`. See docs/policies.md. */
import type { types } from "@pulumi/command";
import { PolicyPack } from "@pulumi/policy";
import type { ResourceValidationArgs, ResourceValidationPolicy } from "@pulumi/policy";
import * as pulumi from "@pulumi/pulumi";
import { readSettings } from "../components/settings/load.ts";
import type { Tunnel } from "../components/settings/tunnels.ts";
import { oldKeys, openToEveryone, outOfRange, rootLogins, tunnelsIn } from "./rules.ts";

const [STACK, COMMAND] = ["pulumi:pulumi:Stack", "command:remote:Command"];

const whole = (minimum: number, maximum: number, value: number) =>
  ({ type: "integer", minimum, maximum, default: value }) as const;
const stacks = {
  type: "string",
  description: "A regular expression for the names of the stacks that this is for",
} as const;

/** The stack and the project of a resource. */
function ownerOf({ urn }: ResourceValidationArgs): { stack: string; project: string } {
  const [stack = "", project = ""] = urn.replace("urn:pulumi:", "").split("::");
  return { stack, project };
}

/** A rule about the settings, which is checked before anything is created: with the first resource, the stack. */
function onSettings<C extends object>(
  policy: Omit<ResourceValidationPolicy, "validateResource">,
  defaults: C,
  find: (tunnels: Tunnel[], config: C, stack: string) => string[],
): ResourceValidationPolicy {
  return {
    ...policy,
    validateResource: (args, report) => {
      if (args.type !== STACK) return;
      const { stack, project } = ownerOf(args);
      const config = { ...defaults, ...args.getConfig<Partial<C>>() };
      const settings = new pulumi.Config(project);
      const tunnels = tunnelsIn(readSettings((key) => settings.get(key)));
      find(tunnels, config, stack).forEach((violation) => report(violation));
    },
  };
}

type Connection = types.output.remote.Connection;

/** A rule about admin connections, by the commands that have them; reported once for each address. */
function onConnections<C extends object>(
  policy: Omit<ResourceValidationPolicy, "validateResource">,
  defaults: C,
  find: (connection: Connection, config: C, stack: string) => string | undefined,
): ResourceValidationPolicy {
  const reported = new Set<string>();
  return {
    ...policy,
    validateResource: (args, report) => {
      if (args.type !== COMMAND) return;
      const { connection } = args.props as { connection?: Connection };
      const found =
        connection && find(connection, { ...defaults, ...args.getConfig<Partial<C>>() }, ownerOf(args).stack);
      if (found === undefined || reported.has(found)) return;
      reported.add(found);
      report(found);
    },
  };
}

const isFor = (pattern: string, stack: string) => new RegExp(pattern).test(stack);

new PolicyPack("ssh-reverse-tunnel", {
  policies: [
    onSettings(
      {
        name: "sources-for-all",
        description: "A forward that listens on every address names the networks that may reach it.",
        enforcementLevel: "mandatory",
      },
      {},
      openToEveryone,
    ),
    onSettings(
      {
        name: "port-range",
        description: "Fixed remote ports are within a range.",
        enforcementLevel: "mandatory",
        configSchema: { properties: { first: whole(1, 65535, 1024), last: whole(1, 65535, 65535) } },
      },
      { first: 1024, last: 65535 },
      (tunnels, { first, last }) => outOfRange(tunnels, first, last),
    ),
    onSettings(
      {
        name: "no-root-logins",
        description: "No login back starts from root or leads to root, in the stacks that this is for.",
        enforcementLevel: "mandatory",
        configSchema: { properties: { stacks: { ...stacks, default: "prod" } } },
      },
      { stacks: "prod" },
      (tunnels, config, stack) => (isFor(config.stacks, stack) ? rootLogins(tunnels) : []),
    ),
    onSettings(
      {
        name: "key-age",
        description: "The keys of tunnels and logins have been replaced in the last year.",
        enforcementLevel: "advisory",
        configSchema: { properties: { days: whole(1, 36500, 365) } },
      },
      { days: 365 },
      (tunnels, { days }) => oldKeys(tunnels, days, new Date()),
    ),
    onConnections(
      {
        name: "known-host-keys",
        description: "Pulumi connects only to hosts whose key it knows: no acceptAnyHostKey.",
        enforcementLevel: "mandatory",
      },
      {},
      ({ host, hostKey, proxy }) =>
        hostKey && (!proxy || proxy.hostKey)
          ? undefined
          : `the admin connection to ${host} accepts any host key; set hostKey instead of acceptAnyHostKey`,
    ),
    onConnections(
      {
        name: "no-root-admins",
        description: "Pulumi does not log in as root, in the stacks that this is for.",
        enforcementLevel: "mandatory",
        configSchema: { properties: { stacks: { ...stacks, default: "prod" } } },
      },
      { stacks: "prod" },
      ({ host, user }, config, stack) =>
        user === "root" && isFor(config.stacks, stack)
          ? `the admin connection to ${host} is root's; set admin.user to an account with sudo`
          : undefined,
    ),
  ],
});
