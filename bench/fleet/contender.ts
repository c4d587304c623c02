import type { State } from "../state.ts";
import type { Tunnel } from "./fleet.ts";

/** A tool that creates the tunnels of a fleet. Each operation throws if it fails or exceeds its limit. */
export interface Contender {
  /** For results. */
  id: string;
  /** In tables and plots. */
  title: string;
  /** Sets the desired state. */
  prepare: (tunnels: Tunnel[]) => Promise<void>;
  /** Applies it. Returns the number of changes, like the next operations. */
  apply: (limitSeconds: number) => Promise<number>;
  /** Applies it only to one internal host and the public host. */
  applyTo?: (only: Tunnel, limitSeconds: number) => Promise<number>;
  /** Checks what it would do. */
  preview?: (limitSeconds: number) => Promise<number>;
  /** Removes everything. */
  remove: (limitSeconds: number) => Promise<number>;
  /** The size of its state. */
  state?: () => Promise<State>;
  /** Its progress, in a few words. */
  doing: () => string;
}
