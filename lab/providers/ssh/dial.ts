import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "ssh2";
import type { Connection, Hop } from "./connection.ts";
import { dialError, dialTimeout, rejectionError } from "./errors.ts";
import { handshake } from "./handshake.ts";
import { readKeys } from "./keys.ts";

/** Reports that a dial failed and will be tried again. */
export type Status = (text: string) => void;

const FIRST_DELAY = 100;
const BACK_OFF = 1.5;
const LONGEST_DELAY = 5_000;

/** Connects and logs in, with as many retries as the official provider. */
export async function dial(connection: Connection, status: Status, signal: AbortSignal): Promise<Client> {
  const keys = await readKeys(connection);
  const retry = <T>(what: string, limit: number, attempt: () => Promise<T>) =>
    withRetry(what, limit, attempt, status, signal);
  const { proxy } = connection;
  if (proxy === undefined) {
    return retry("Dial", connection.dialErrorLimit, async () =>
      handshake(await tcp(connection), connection, keys),
    );
  }
  return prefixed(async () => {
    const proxyKeys = await readKeys(proxy);
    const hop = await retry("Dial proxy", proxy.dialErrorLimit, async () =>
      handshake(await tcp(proxy), proxy, proxyKeys),
    );
    const bridge = await retry("Dial from proxy", connection.dialErrorLimit, () => forward(hop, connection));
    return retry("Dial", connection.dialErrorLimit, () => handshake(bridge, connection, keys));
  });
}

async function withRetry<T>(
  what: string,
  limit: number,
  attempt: () => Promise<T>,
  status: Status,
  signal: AbortSignal,
): Promise<T> {
  let delay = FIRST_DELAY;
  for (let failed = 0; ; failed++) {
    try {
      return await attempt();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // The limit counts the failures that are retried: the next one is the last.
      if (limit > -1 && failed >= limit)
        throw new Error(`after ${failed} failed attempts: ${reason}`, { cause: error });
      status(`${what} ${failed + 1}/${limit === -1 ? "inf" : limit} failed: retrying`);
    }
    await sleep(delay, undefined, { signal }).catch(() => {
      throw new Error("context canceled");
    });
    delay = Math.min(delay * BACK_OFF, LONGEST_DELAY);
  }
}

/** The time limit applies only to this part: the official provider has none for the handshake. */
function tcp({ host, port, perDialTimeout }: Hop): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Math.trunc(port) });
    // As in Go: this detects a host that has lost power and forgotten the connection.
    socket.setKeepAlive(true, 15_000);
    socket.setTimeout(perDialTimeout * 1_000, () => {
      socket.destroy();
      reject(dialTimeout(host, port));
    });
    socket.once("error", (error) => reject(dialError(host, port, error)));
    socket.once("connect", () => {
      socket.setTimeout(0);
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

/** A connection to the host from the proxy. */
function forward(proxy: Client, { host, port }: Hop): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    proxy.forwardOut("0.0.0.0", 0, host, Math.trunc(port), (error, channel) => {
      if (error) reject(rejectionError(error));
      else resolve(channel);
    });
  });
}

async function prefixed<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`proxy: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
