import type { Host } from "../../../lab/host.ts";
import type { Lab } from "../../../lab/lab.ts";
import { PROJECT, labAdmin } from "../../../lab/program.ts";

/** Settings, or part of them, that a test uses instead of the plain ones. */
export type Part = Record<string, unknown>;

/** The name of the units of the health check that all tunnels of a stack share on a public host. */
export const healthCheckOf = (stack = "dev"): string => `ssh-tunnels-${PROJECT}-${stack}-health`;

/** What a test may change in {@link tunnelSettings}. */
export interface Changes {
  /** The name of the tunnel and of its internal host. Default "nas". */
  tunnel?: string;
  /** In addition to the public host's settings. */
  gate?: Part;
  /** In addition to the internal host's settings. */
  nas?: Part;
  /** Instead of the one forward, 2222 to sshd. */
  forwards?: Part;
  /** Instead of the one login back, root to root; undefined for none. */
  logins?: Part[] | undefined;
}

/** Settings of one tunnel between two hosts of a lab: sshd at port 2222, and a login back for root. */
export function tunnelSettings(lab: Lab, gate: Host, nas: Host, changes: Changes = {}): Part {
  const forwards = changes.forwards ?? { ssh: { remotePort: 2222, target: 22 } };
  const logins = Object.hasOwn(changes, "logins") ? changes.logins : [{ from: "root", to: "root" }];
  return {
    publicHosts: { [gate.name]: { ...labAdmin(lab, gate), ...changes.gate } },
    internalHosts: {
      [changes.tunnel ?? nas.name]: {
        ...labAdmin(lab, nas),
        forwards,
        ...(logins && { logins }),
        ...changes.nas,
      },
    },
  };
}
