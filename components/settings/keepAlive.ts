/** How fast a dead tunnel is detected and restarted. */
export interface KeepAlive {
  /** Seconds to wait for a connection to the public host. ConnectTimeout of ssh_config(5). */
  connectTimeoutSec: number;
  /** Seconds without data before ssh sends a keep-alive. ServerAliveInterval. */
  serverAliveIntervalSec: number;
  /** Unanswered keep-alives before ssh gives up, after interval × (count + 1) seconds. ServerAliveCountMax. */
  serverAliveCountMax: number;
  /** Seconds before systemd restarts a tunnel that has ended; may be a fraction. RestartSec of systemd.service(5). */
  restartSec: number;
  /**
   * The longest pause between two attempts, in seconds. The pause is a hundredth of the time that the tunnel has been down:
   * 0.3 s at first, 30 s after 50 minutes.
   */
  restartMaxDelaySec: number;
}

/**
 * Presets.
 *
 * - `fast`: a dead connection is detected within 9 s, and a tunnel that can come back is back within 3 s (measured in
 *   docs/benchmarks.md).
 * - `conservative`: ServerAliveInterval 60, ServerAliveCountMax 3 and RestartSec 10, as in most guides; for links
 *   on which every byte costs money. A dead connection is detected within 4 minutes.
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

/** {@link KeepAlive}, with a preset for the values that are not given. */
export type KeepAliveArgs = Partial<KeepAlive> & {
  /** The preset for the values that are not given. @default "fast" */
  preset?: KeepAlivePreset;
};

/** All values of it. */
export function resolveKeepAlive({ preset = "fast", ...given }: KeepAliveArgs = {}): KeepAlive {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...keepAlivePresets[preset], ...Object.fromEntries(entries) };
}
