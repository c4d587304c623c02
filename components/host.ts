import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { checked } from "./render/checks.ts";

/** A host that Pulumi reaches over SSH. */
export interface Host {
  /** Its name in the settings and in every message, for example `gate`. */
  name: string;
  /**
   * The admin connection, as `@pulumi/command` takes it. Set `hostKey`: without it the provider accepts whatever key
   * answers.
   */
  connection: command.types.input.remote.ConnectionArgs;
  /**
   * Any text. Change it to any new value to have every script check the host again and repair drift.
   * @default ""
   */
  revision?: pulumi.Input<string>;
  /**
   * The public host by whose tunnel the connection goes, where it does: a login that is cut is then tried again, since the
   * tunnel may be restarting.
   */
  throughTunnel?: string;
  /**
   * Something that no other Pulumi state has, such as a `random.RandomId`. What was made on the host with one is
   * neither changed nor removed with another, though project and stack have the same names.
   * @default none: what is on the host is anybody's who has its name
   */
  stackId?: pulumi.Input<string>;
  /**
   * What an admin who is not root begins a shell as root with; `HostFacts` finds out what works on the host.
   * @default "sudo -n sh -s --"
   */
  rootShell?: pulumi.Input<string>;
  /**
   * Where the tools of the scripts are kept (`HostTools`), and the programs that run on the host. Root runs them, so each
   * folder on the way must be root's.
   * @default "/opt/ssh-reverse-tunnel"
   */
  toolsDirectory?: string | undefined;
  /** What every script on the host waits for, for example the look at the host that says whether it can be managed. */
  after?: pulumi.Resource[];
}

/** Where nobody says otherwise. */
export const defaultToolsDirectory = "/opt/ssh-reverse-tunnel";

/** @see Host.toolsDirectory */
export function toolsDirectoryOf({ toolsDirectory = defaultToolsDirectory }: Host): string {
  return checked("folder", toolsDirectory);
}

/** The host as its user knows it: every message begins with it. */
export function hostLabel({ name, connection, throughTunnel }: Host): pulumi.Output<string> {
  return throughTunnel
    ? pulumi.output(`${name} (through its tunnel to ${throughTunnel})`)
    : pulumi.interpolate`${name} (${connection.host})`;
}
