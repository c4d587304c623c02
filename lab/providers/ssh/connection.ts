/** One hop of a connection, with the official provider's property names and defaults. */
export interface Hop {
  host: string;
  port: number;
  user: string;
  password?: string;
  privateKey?: string;
  privateKeyPassword?: string;
  agentSocketPath?: string;
  /** How many failed dials are retried; -1 for any number. */
  dialErrorLimit: number;
  /** Seconds for the TCP connection of one dial; 0 for no limit. */
  perDialTimeout: number;
  /** A line like `ssh-ed25519 AAAA…`; without it, any host key is accepted. */
  hostKey?: string;
}

/** How to reach a host, with or without a proxy. */
export interface Connection extends Hop {
  proxy?: Hop;
}

/** The official provider's defaults. */
export const HOP_DEFAULTS = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };

/** Every property of a hop. */
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

/** Those that are always secret. */
export const HOP_SECRETS = ["password", "privateKey", "privateKeyPassword"];
