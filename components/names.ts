import type { Host } from "./remote/host.ts";

/** Names of everything that a tunnel is for Pulumi, and of its records on the hosts. */
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
  /** The start in the range of ports of a forward with the port `auto`. */
  startOf: (forward: string) => string;
  /**
   * The tunnel's line in authorized_keys: another host or account has another key, and the old one stays until the new one
   * works.
   */
  tunnelKey: (account: string | undefined) => string;
  /** The line of a login in authorized_keys. No account has a dot in its name, so no two logins have the same. */
  loginKey: (from: string, alias: string) => string;
}

/**
 * A name says which tunnel, and on which host: what moves to another host is another resource there, and Pulumi removes
 * the old one. It never says how something is, which can change in place. Neither tunnels nor hosts have dots in their
 * names, so no two are the same.
 */
export function namesOf(tunnel: string, internalHost: Host, publicHost: Host): Names {
  const on = (host: string) => `${tunnel}-on.${host}`;
  const inside = tunnel === internalHost.name ? tunnel : on(internalHost.name);
  const outside = on(publicHost.name);
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
    tunnelKey: (account) =>
      [outside, ...(inside === tunnel ? [] : [internalHost.name]), account ?? []].flat().join("."),
    loginKey: (from, alias) => `${outside}-login-${from}.${alias}`,
  };
}
