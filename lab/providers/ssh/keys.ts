import { once } from "node:events";
import { connect } from "node:net";
import ssh2, { type ParsedKey } from "ssh2";
import type { Hop } from "./connection.ts";
import { agentError } from "./errors.ts";

/** The keys in a hop's settings. */
export interface Keys {
  host?: ParsedKey;
  login?: ParsedKey;
  /** The socket of an agent that answers. */
  agent?: string;
}

/** Reads the keys before anything is dialled: a mistake in them is not a reason to retry. */
export async function readKeys(hop: Hop): Promise<Keys> {
  const { hostKey, privateKey, privateKeyPassword, agentSocketPath = process.env.SSH_AUTH_SOCK } = hop;
  const keys: Keys = {};
  if (hostKey !== undefined) keys.host = readHostKey(hostKey);
  if (privateKey !== undefined) keys.login = readPrivateKey(privateKey, privateKeyPassword);
  if (agentSocketPath !== undefined && agentSocketPath !== "") {
    await knock(agentSocketPath);
    keys.agent = agentSocketPath;
  }
  return keys;
}

function readHostKey(text: string): ParsedKey {
  const line = text.split("\n").find((candidate) => /^\s*[^#\s]/.test(candidate));
  const parsed = ssh2.utils.parseKey(line?.trim() ?? "");
  if (parsed instanceof Error) throw new Error("failed to parse host key: ssh: no key found");
  return parsed;
}

function readPrivateKey(text: string, password: string | undefined): ParsedKey {
  const open = ssh2.utils.parseKey(text);
  if (!(open instanceof Error)) {
    if (password !== undefined) throw new Error("ssh: key is not password protected");
    return open;
  }
  if (!/encrypted/i.test(open.message)) throw new Error("ssh: no key found");
  if (password === undefined) throw new Error("ssh: this private key is passphrase protected");
  const opened = ssh2.utils.parseKey(text, password);
  if (opened instanceof Error) throw new Error("x509: decryption password incorrect");
  return opened;
}

/** Checks that something listens on the agent's socket. */
async function knock(path: string): Promise<void> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
  } catch (error) {
    throw agentError(path, error as Error);
  } finally {
    socket.destroy();
  }
}
