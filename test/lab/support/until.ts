import { until as untilWithin } from "../../../lab/exec.ts";

/** How many times as long as a quiet machine a busy one may take. */
const PATIENCE = 4;

/**
 * Polls as {@link untilWithin} does. The seconds are what a quiet machine needs at most: no test fails only because the
 * machine is busy with other work.
 */
export const until: typeof untilWithin = (what, seconds, ask, pauseMs) =>
  untilWithin(what, PATIENCE * seconds, ask, pauseMs);
