import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Host as RemoteHost } from "../components/index.ts";
import { HostTools } from "../components/parts/hostTools/hostTools.ts";
import program from "../index.ts";
import type { Host } from "./host.ts";
import type { Lab } from "./lab.ts";
import type { LabStack, StackOptions } from "./stack.ts";
import { openStack } from "./stack.ts";

/** The project's name, the prefix of its settings. */
export const PROJECT = "ssh-reverse-tunnel";

/** The stack file of the lab's two hosts, gate and nas. */
export const DEV_STACK = fileURLToPath(new URL("../Pulumi.dev.yaml", import.meta.url));

/**
 * The project's program on a stack of a lab, whose state is in the lab's folder and is removed with it.
 *
 * The settings of the dev stack contain paths of the default lab, relative to the project, where the program runs.
 */
export async function openProgram(lab: Lab, options: Partial<StackOptions> = {}): Promise<LabStack> {
  return openStack({
    project: PROJECT,
    stack: "dev",
    program: () => Promise.resolve(program()),
    directory: join(lab.directory, "stacks", options.stack ?? "dev"),
    ...options,
  });
}

/** How Pulumi reaches a host of a lab, as settings. */
export function labAdmin(lab: Lab, host: Host): { address: string; admin: Record<string, unknown> } {
  return { address: host.address, admin: { privateKeyFile: lab.adminKeyFile, hostKey: host.hostKey } };
}

/** A host of a lab in the form that components need. */
export function labHost(
  lab: Lab,
  host: Host,
): { name: string; connection: Record<"host" | "user" | "privateKey" | "hostKey", string> } {
  const privateKey = readFileSync(lab.adminKeyFile, "utf8");
  return {
    name: host.name,
    connection: { host: host.address, user: "root", privateKey, hostKey: host.hostKey },
  };
}

/**
 * The same within a program, with the tools of our scripts: for components that are tested without PublicHost and
 * InternalHost. No other resource of the program may have their name.
 */
export function hostWithTools(
  lab: Lab,
  host: Host,
  name = `${host.name}-tools`,
  notifies = true,
): RemoteHost {
  const known = labHost(lab, host);
  return { ...known, after: [new HostTools(name, { host: known, notifies })] };
}
