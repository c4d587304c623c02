import type { Host } from "./remote/host.ts";

/** The names of a tunnel's resources in Pulumi, and of its records on the hosts. */
export interface Names {
  /** The stages on the internal host. */
  prepare: string;
  start: string;
  confirm: string;
  finish: string;
  /** The stages on the public host. */
  loginKeys: string;
  admit: string;
  firewall: string;
  settle: string;
  /** The resource with the start in the port range, for a forward with the port `auto`. */
  startOf: (forward: string) => string;
  /**
   * The tunnel's line in authorized_keys. A changed host, account or word for the keys has a new key, and the old one
   * stays until the new one works.
   */
  tunnelKey: (account: string | undefined, keyId: string | undefined) => string;
  /** The line of a login in authorized_keys. A dot in an account is doubled, so every login has its own line. */
  loginKey: (from: string, alias: string, keyId: string | undefined) => string;
  /** The beginning of the names of this account's login lines. No alias begins with a dot. */
  loginKeysOf: (from: string) => string;
}

/** No account and no alias has a "~". */
const ofKey = (keyId: string | undefined) => (keyId === undefined ? "" : `~${keyId}`);

/**
 * A name contains the tunnel and the host: what moves to another host becomes a new resource there, and Pulumi removes
 * the old one. It contains no other values, since those can change in place. Tunnel and host names have no dots, so all
 * names are unique.
 */
export function namesOf(tunnel: string, internalHost: Host, publicHost: Host): Names {
  const on = (host: string) => `${tunnel}-on.${host}`;
  const inside = tunnel === internalHost.name ? tunnel : on(internalHost.name);
  const outside = on(publicHost.name);
  const loginKeysOf = (from: string) => `${outside}-login-${from.replaceAll(".", "..")}.`;
  return {
    prepare: `${inside}-prepare`,
    start: `${inside}-start`,
    confirm: `${inside}-confirm`,
    finish: `${inside}-finish`,
    loginKeys: `${outside}-login-keys`,
    admit: `${outside}-admit`,
    firewall: `${outside}-firewall-ports`,
    settle: `${outside}-settle`,
    startOf: (forward) => `${outside}-port-${forward}`,
    tunnelKey: (account, keyId) =>
      [outside, ...(inside === tunnel ? [] : [internalHost.name]), account?.replaceAll(".", "..") ?? []]
        .flat()
        .join(".") + ofKey(keyId),
    loginKey: (from, alias, keyId) => `${loginKeysOf(from)}${alias}${ofKey(keyId)}`,
    loginKeysOf,
  };
}

/** The host that a stage of a tunnel is on, by the name of its resource; undefined for one that is on no host. */
export function hostOf(tunnel: string, resource: string): string | undefined {
  const rest = resource.slice(tunnel.length);
  const stage =
    /^(?:-on\.([^.]+))?-(?:prepare|start|confirm|finish|login-keys|admit|firewall-ports|settle)$/.exec(rest);
  return stage ? (stage[1] ?? tunnel) : undefined;
}
