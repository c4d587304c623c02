import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { type KindName, kindNames, kindOf } from "./kinds.ts";

/** A fault of the plan. */
export interface Fault {
  /** Seconds after the soak's start. */
  at: number;
  kind: KindName;
  /** The internal host; ignored for a fault without one. */
  host: string;
  /** Which of its forwards; ignored if the kind affects more than one. */
  forward: string;
  /** How long it lasts. */
  seconds: number;
}

/** Seconds for checking the hosts at the end of each fault, before the next one. */
const LOOK_SECONDS = 4;

/** Seconds of a soak that are not planned: for the last faults, which it must report. */
export const PROOF_SECONDS = 25;

/** Seconds from one fault to the next: its duration, its time to heal, and the check. */
export function slotOf({ kind, seconds }: Pick<Fault, "kind" | "seconds">): number {
  const { boots = 0, backWithin } = kindOf(kind);
  return seconds + boots + backWithin + LOOK_SECONDS;
}

/**
 * The faults for this many seconds. The same seed gives the same faults at the same times; a longer soak begins like a
 * shorter one. They never overlap, so every failure has one cause.
 */
export function planOf(seed: number, seconds: number, hosts: string[], forwards: string[]): Fault[] {
  const random = xoroshiro128plus(seed);
  const between = (from: number, to: number) => uniformInt(random, from, to);
  const oneOf = (all: string[]) => all[between(0, all.length - 1)] ?? "";
  const plan: Fault[] = [];
  let at = 0;
  for (let round = 0; ; round++) {
    const left = kindNames.filter((kind) => round % (kindOf(kind).rounds ?? 1) === 0);
    while (left.length > 0) {
      const [kind] = left.splice(between(0, left.length - 1), 1) as [KindName];
      const [from, to] = kindOf(kind).lasts ?? [0, 0];
      const fault = { at, kind, host: oneOf(hosts), forward: oneOf(forwards), seconds: between(from, to) };
      at += slotOf(fault);
      if (at > seconds) return plan;
      plan.push(fault);
    }
  }
}
