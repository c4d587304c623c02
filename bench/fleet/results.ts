import type { State } from "../state.ts";
import type { Operation } from "./operations.ts";

/** One try of an operation. */
export interface Attempt {
  seconds: number;
  /** Whether it said so itself. */
  failed: boolean;
  /** How many hosts' tunnels did not work after it; after a removal, how many still listened. */
  lost: number;
}

/** What one operation took. */
export interface Sample {
  /** Until no host was lost: one attempt, where all is well. */
  attempts: Attempt[];
  /** The next ones are those of the first attempt. */
  changes: number;
  /** Logins to the public host, and to the internal host that had most of them. */
  gateLogins: number;
  internalLogins: number;
  /** The most admin sessions that the public host had at the same time. */
  sessions: number;
}

/** What a contender did with a fleet. */
export interface Run {
  /** By operation. */
  samples: Partial<Record<Operation["id"], Sample>>;
  /** On the public host, with all tunnels and nothing to do. */
  idle?: { cpu: number; megabytesPerTunnel: number };
  state?: State;
}

/** Everything that the tables and the plot are made of. */
export interface Results {
  /** The first line above the tables: day, machine, versions. */
  measured: string;
  /** By the number of internal hosts, then by contender. */
  fleets: Record<string, Record<string, Run>>;
}

/** Old results, and those of a new run in place of the old ones with as many hosts. */
export function merge(old: Results, fresh: Results): Results {
  return { measured: fresh.measured, fleets: { ...old.fleets, ...fresh.fleets } };
}

/** Whether an operation did what it should, at the first attempt. */
export function isClean({ attempts: [first] }: Sample): boolean {
  return first !== undefined && succeeded(first);
}

/** Whether an attempt did what it should. */
export function succeeded({ failed, lost }: Attempt): boolean {
  return !failed && lost === 0;
}
