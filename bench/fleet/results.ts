import type { State } from "../state.ts";
import type { Operation } from "./operations.ts";

/** One attempt of an operation. */
export interface Attempt {
  seconds: number;
  /** Whether it reported the failure itself. */
  failed: boolean;
  /** How many hosts' tunnels did not work after it; after a removal, how many still listened. */
  lost: number;
}

/** The result of one operation. */
export interface Sample {
  /** Until no host was lost: one attempt if everything works. */
  attempts: Attempt[];
  /** The following values are from the first attempt. */
  changes: number;
  /** Logins to the public host, and to the internal host that had the most. */
  gateLogins: number;
  internalLogins: number;
  /** The maximum number of simultaneous admin sessions on the public host. */
  sessions: number;
}

/** The results of a contender with a fleet. */
export interface Run {
  /** By operation. */
  samples: Partial<Record<Operation["id"], Sample>>;
  /** On the public host, with all tunnels, while idle. */
  idle?: { cpu: number; megabytesPerTunnel: number };
  state?: State;
}

/** All data for the tables and the plot. */
export interface Results {
  /** Day, machine and versions, by the number of internal hosts. */
  measured: Record<string, string>;
  /** By the number of internal hosts, then by contender. */
  fleets: Record<string, Record<string, Run>>;
}

/** Old results, in which a new run replaces those with the same number of hosts. */
export function merge(old: Results, fresh: Results): Results {
  return {
    measured: { ...old.measured, ...fresh.measured },
    fleets: { ...old.fleets, ...fresh.fleets },
  };
}

/** Whether an operation succeeded at the first attempt. */
export function isClean({ attempts: [first] }: Sample): boolean {
  return first !== undefined && succeeded(first);
}

/** Whether an attempt succeeded. */
export function succeeded({ failed, lost }: Attempt): boolean {
  return !failed && lost === 0;
}
