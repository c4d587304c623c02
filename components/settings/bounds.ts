import type { Forward } from "./forward.ts";
import { bindAddress, defaultPortRange, hostPort, probeAddress } from "./forward.ts";
import { inputError } from "./inputError.ts";

/**
 * Bounds on the forwards of all tunnels of a stack at one public host. They are enforced here and not by sshd: each key
 * lists its permitted ports, in a file that only root can write, while sshd's configuration for tunnel accounts also
 * applies to those of other stacks.
 */
export interface Bounds {
  /** Where they may listen, in the format of `PermitListen`. @default no bound */
  permitListen?: string[] | undefined;
  /** Where they may connect to on the public host, in the format of `PermitOpen`. @default no bound */
  permitOpen?: string[] | undefined;
}

/** Why a bound does not allow a forward, "must …"; undefined if it does. `auto` may become any port of the range. */
export function boundsMistake(
  forward: Forward,
  bounds: Bounds,
  portRange = defaultPortRange,
): string | undefined {
  const { remotePort } = forward;
  const [first, last] = remotePort === "auto" ? [portRange.first, portRange.last] : [remotePort, remotePort];
  const sides = [
    ["listen where permitListen allows it", "permitListen", bindAddress(forward)],
    ["be open where permitOpen allows it", "permitOpen", probeAddress(forward)],
  ] as const;
  for (const [what, bound, address] of sides) {
    const permits = bounds[bound]?.map(readPermit);
    if (!permits) continue;
    for (let port = first; port <= last; port++) {
      if (permits.some((permit) => permit(address, port))) continue;
      const why = remotePort === "auto" ? ", which 'auto' may choose," : "";
      return `must ${what}: ${hostPort(address, port)}${why} is not in ${JSON.stringify(bounds[bound])}`;
    }
  }
  return undefined;
}

/** The bounds. Throws an error if one of them is not in the format of sshd_config(5). */
export function assertValidBounds(bounds: Bounds): Bounds {
  for (const [name, permits] of Object.entries(bounds) as [string, string[] | undefined][]) {
    permits?.forEach((text) => {
      if (text !== "any" && text !== "none" && !permit.test(text)) {
        throw inputError(
          `${JSON.stringify(text)} in ${name} must be 'any', 'none', a port, or an address and a port, "127.0.0.1:2222"`,
        );
      }
    });
  }
  return bounds;
}

const permit = /^(?:(?:\[([0-9A-Fa-f:.*]+)\]|([A-Za-z0-9_.*-]+)):)?(\*|[0-9]{1,5})$/;

/**
 * In the format of sshd_config(5): `any`, `none`, `host:port`, `[v6]:port` or a port; host and port may each be `*`.
 */
function readPermit(text: string): (host: string, port: number) => boolean {
  if (text === "any") return () => true;
  const match = permit.exec(text);
  if (!match) return () => false;
  const host = pattern(match[1] ?? match[2] ?? "*");
  return (address, port) => host.test(address) && (match[3] === "*" || Number(match[3]) === port);
}

function pattern(host: string): RegExp {
  const parts = host.split("*").map((part) => part.replaceAll(/[.\\+?^${}()|[\]]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`);
}
