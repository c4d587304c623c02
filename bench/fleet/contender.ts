import type { State } from "../state.ts";
import type { Tunnel } from "./fleet.ts";

/** What makes the tunnels of a fleet. Each operation throws where it fails, or does not end within its seconds. */
export interface Contender {
  /** For results. */
  id: string;
  /** In tables and plots. */
  title: string;
  /** Takes note of what there shall be. */
  prepare: (tunnels: Tunnel[]) => Promise<void>;
  /** Makes it so. Returns how much it has changed, as the next ones do. */
  apply: (limitSeconds: number) => Promise<number>;
  /** Makes it so on one internal host and on the public host alone. */
  applyTo?: (only: Tunnel, limitSeconds: number) => Promise<number>;
  /** Looks what it would do. */
  preview?: (limitSeconds: number) => Promise<number>;
  /** Takes all of it away. */
  remove: (limitSeconds: number) => Promise<number>;
  /** What it keeps about what it has made. */
  state?: () => Promise<State>;
  /** How far it is, in a few words. */
  doing: () => string;
}
