import { type Try, downTime, inSeconds } from "./downTime.ts";
import { kindOf } from "./kinds.ts";
import type { Fault } from "./plan.ts";

/** What must be true. */
export type Claim =
  | "back in time" // what a fault affects works again within its bound
  | "others carry on" // what it does not affect loses no byte, and none of its tunnels restarts
  | "no leak" // at quiet points each host has the same as at first, and no more
  | "no false byte" // no connection, affected or not, ever carries a byte that was not sent
  | "real fault"; // the fault had its effect; otherwise the rest would prove nothing

/** A violation, with its details. */
export interface Finding {
  claim: Claim;
  text: string;
}

/** The observations of one forward from before a fault until after it. */
export interface Seen {
  tunnel: string;
  /** Its name within the tunnel. */
  forward: string;
  tries: Try[];
  /** How its long-lived connections ended, if they did. */
  breaks: string[];
}

/** The process of each tunnel's ssh client, by tunnel. */
export type Pids = Record<string, string>;

/** The observations of a fault. */
export interface Sight {
  fault: Fault;
  /** When it was over, in the seconds of the attempts. */
  ended: number;
  forwards: Seen[];
  before: Pids;
  after: Pids;
}

/** Whether a fault may make this forward fail. */
export function disturbs(fault: Fault, { tunnel, forward }: Pick<Seen, "tunnel" | "forward">): boolean {
  const reach = kindOf(fault.kind).disturbs;
  if (reach === "every tunnel") return true;
  if (reach === "nothing" || tunnel !== fault.host) return false;
  return reach === "one tunnel" || forward === fault.forward;
}

/** The violations during a fault. */
export function judge({ fault, ended, forwards, before, after }: Sight): Finding[] {
  const findings: Finding[] = [];
  const found = (claim: Claim, text: string) => findings.push({ claim, text });
  const { backWithin, restarts } = kindOf(fault.kind);
  for (const seen of forwards) {
    const name = `forward ${seen.forward} of ${seen.tunnel}`;
    const errors = seen.tries.flatMap(({ error }) => error ?? []);
    if (disturbs(fault, seen)) {
      const down = downTime(seen.tries, ended);
      if (down === undefined) found("back in time", `${name} has not come back: ${errors.at(-1)}`);
      else if (down > backWithin) {
        found("back in time", `${name} was down for ${inSeconds(down)}, more than ${backWithin} s`);
      }
      continue;
    }
    if (errors.length > 0)
      found("others carry on", `${name}: ${errors.length} failed, the first: ${errors[0]}`);
    for (const error of seen.breaks)
      found("others carry on", `${name}: a long-lived connection broke: ${error}`);
  }
  const disturbed = forwards.filter((seen) => disturbs(fault, seen));
  if (
    disturbed.length > 0 &&
    disturbed.every(({ tries }) => tries.every(({ error }) => error === undefined))
  ) {
    found("real fault", "nothing failed");
  }
  for (const [tunnel, pid] of Object.entries(before)) {
    const itsOwn = disturbed.some((seen) => seen.tunnel === tunnel);
    const restarted = after[tunnel] !== pid;
    if (restarted && (!itsOwn || restarts === "never")) {
      found("others carry on", `the tunnel ${tunnel} was started anew`);
    }
    if (!restarted && itsOwn && restarts === "always") {
      found("real fault", `the tunnel ${tunnel} was not started anew`);
    }
  }
  return findings;
}
