import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { assertValid } from "../render/checks.ts";
import type { HostReport } from "./runReport.ts";
import type { Ways } from "./ways.ts";

/** A host that Pulumi reaches over SSH. */
export interface Host {
  /** Its name in the settings and in every message, for example `gate`. */
  name: string;
  /**
   * The admin connection for `@pulumi/command`. Set `hostKey`: without it, the provider accepts any key.
   */
  connection: command.types.input.remote.ConnectionArgs;
  /**
   * Any text. Change it to any new value to have every script check the host again and repair drift.
   * @default ""
   */
  revision?: pulumi.Input<string>;
  /**
   * The public host that the connection's tunnel ends at, if it goes through one. A login that is cut off is then retried,
   * because the tunnel may be restarting.
   */
  throughTunnel?: string;
  /** The name of that tunnel. @default any tunnel to that public host may be the one */
  tunnel?: string | undefined;
  /**
   * An id that no other Pulumi state has, such as a `random.RandomId`. What was created on the host with one id is
   * neither changed nor removed with another id, even if project and stack have the same names.
   *
   * @default none: any state with the same names may change what is on the host
   */
  stackId?: pulumi.Input<string>;
  /**
   * The command with which an admin other than root starts a root shell; `HostFacts` finds the one that works.
   * @default "sudo -n sh -s --"
   */
  rootShell?: pulumi.Input<string>;
  /**
   * The folder for the scripts' tools (`HostTools`) and for the programs that run on the host. Root runs them, so root must
   * own it and every folder above it.
   * @default "/opt/ssh-reverse-tunnel"
   */
  toolsDirectory?: string | undefined;
  /**
   * Whether the services on the host run in namespaces of their own, in which they see little of its files and devices.
   * @default true
   */
  namespaces?: boolean | undefined;
  /**
   * Seconds until the host rolls back a change on trial, unless a new login confirms it. Use more if a run changes many
   * hosts, since the confirmation waits for its turn.
   *
   * @default 60
   */
  trialSec?: number | undefined;
  /** Where the outcome of each script on the host is reported. @default nowhere */
  report?: HostReport | undefined;
  /** If the connection may go through one of several tunnels: which. @see chooseWays */
  ways?: Ways | undefined;
  /** The stack that manages it, if it is not this one; its outputs have the host key. */
  managedBy?: string | undefined;
  /** Whether it will not come back: nothing connects to it any more. @default false */
  gone?: boolean | undefined;
  /**
   * For each record on the host, a value that changes when its things have drifted: see `driftOf`. With it, each script
   * notes what it leaves.
   *
   * @default none: nobody looks for drift
   */
  drift?: pulumi.Output<Record<string, string>> | undefined;
  /** Public keys of the host that a look for drift has found as they were, by account and file. @default none */
  keys?: Record<string, string> | undefined;
  /** What every script on the host waits for, for example the check that the host can be managed. */
  after?: pulumi.Resource[];
}

/** Used unless the settings name another folder. */
export const defaultToolsDirectory = "/opt/ssh-reverse-tunnel";

/** @see Host.toolsDirectory */
export function toolsDirectoryOf({ toolsDirectory = defaultToolsDirectory }: Host): string {
  return assertValid("folder", toolsDirectory);
}

/** The host's name for the user: every message begins with it. */
export function hostLabel({ name, connection, throughTunnel }: Host): pulumi.Output<string> {
  return throughTunnel
    ? pulumi.output(`${name} (through its tunnel to ${throughTunnel})`)
    : pulumi.interpolate`${name} (${connection.host})`;
}

/** @see Host.trialSec */
export const defaultTrialSec = 60;

/** What a login refused during a trial means, for the advice. */
export function takenBack({ trialSec = defaultTrialSec }: Host, what: string): string {
  const minutes = Math.ceil(trialSec / 60);
  const time = minutes === 1 ? "a minute" : `${minutes} minutes`;
  return `if the change to ${what} prevents it, the host rolls it back by itself within ${time}`;
}
