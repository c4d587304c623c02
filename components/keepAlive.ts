/** How fast a tunnel notices that it is dead, and comes back. */
export interface KeepAlive {
  /** Seconds to reach the public host. ConnectTimeout of ssh_config(5). */
  connectTimeoutSec: number;
  /** Seconds without a word before ssh asks. ServerAliveInterval. */
  serverAliveIntervalSec: number;
  /** Unanswered questions before ssh gives up; it takes interval × (count + 1) in all. ServerAliveCountMax. */
  serverAliveCountMax: number;
  /** Seconds before systemd starts a tunnel again that ended, fractions too. RestartSec of systemd.service(5). */
  restartSec: number;
  /**
   * The longest pause between two attempts, in seconds. The pause is a hundredth of the time that the tunnel has been down:
   * a third of one at first, 30 s after 50 minutes.
   */
  restartMaxDelaySec: number;
}

/**
 * Sets of values that belong together.
 *
 * - `fast`: a dead connection is found within 9 s, and a tunnel that can come back is back within 3 (measured in
 *   docs/benchmarks.md).
 * - `conservative`: ServerAliveInterval 60, ServerAliveCountMax 3 and RestartSec 10, as most guides have it; for links
 *   on which every byte costs. A dead connection is found within 4 minutes.
 */
export const keepAlivePresets = {
  fast: {
    connectTimeoutSec: 5,
    serverAliveIntervalSec: 3,
    serverAliveCountMax: 2,
    restartSec: 0.1,
    restartMaxDelaySec: 30,
  },
  conservative: {
    connectTimeoutSec: 30,
    serverAliveIntervalSec: 60,
    serverAliveCountMax: 3,
    restartSec: 10,
    restartMaxDelaySec: 60,
  },
} satisfies Record<string, KeepAlive>;

/** The name of a set. */
export type KeepAlivePreset = keyof typeof keepAlivePresets;

/** {@link KeepAlive}, with what is not given taken from a preset. */
export type KeepAliveArgs = Partial<KeepAlive> & {
  /** Where values that are not given come from. @default "fast" */
  preset?: KeepAlivePreset;
};

/** All values of it. */
export function resolveKeepAlive({ preset = "fast", ...given }: KeepAliveArgs = {}): KeepAlive {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...keepAlivePresets[preset], ...Object.fromEntries(entries) };
}
