/** One hop of a connection, with the official provider's names and its defaults filled in. */
export interface Hop {
  host: string;
  port: number;
  user: string;
  password?: string;
  privateKey?: string;
  privateKeyPassword?: string;
  agentSocketPath?: string;
  /** How many failed dials are forgiven; -1 for any number. */
  dialErrorLimit: number;
  /** Seconds for the TCP connection of one dial; 0 for no limit. */
  perDialTimeout: number;
  /** A line like `ssh-ed25519 AAAA…`; without it, any host key is accepted. */
  hostKey?: string;
}

/** How to reach a host, by way of a proxy or not. */
export interface Connection extends Hop {
  proxy?: Hop;
}

/** What the official provider fills in. */
export const HOP_DEFAULTS = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };

/** Every property that a hop may have. */
export const HOP_PROPERTIES = new Set([
  "agentSocketPath",
  "dialErrorLimit",
  "host",
  "hostKey",
  "password",
  "perDialTimeout",
  "port",
  "privateKey",
  "privateKeyPassword",
  "user",
]);

/** Those that are secret wherever they stand. */
export const HOP_SECRETS = ["password", "privateKey", "privateKeyPassword"];
