import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { percentile } from "../statistics.ts";

/** Where to measure. */
export interface Place {
  host: string;
  port: number;
}

/** The results of one round. */
export interface Sample {
  /** From the internal host and to it, on one connection. */
  megabytesPerSecondDown: number;
  megabytesPerSecondUp: number;
  /** For requests of one line on an open connection, one after the other. */
  millisecondsMedian: number;
  milliseconds99: number;
  /** Requests per second, on one connection and on 16 at the same time. */
  requestsBy1: number;
  requestsBy16: number;
  /** CPU seconds of each host per gigabyte, the mean of both directions. */
  cpuSecondsOnGate: number;
  cpuSecondsOnNas: number;
}

/** CPU time of each host so far, in seconds. */
export type CpuTimes = () => Promise<{ gate: number; nas: number }>;

/** Random, and longer than a compressor's window. */
const BLOCK = randomBytes(1 << 18);

/** Measures all, one after the other. */
export async function measure(
  place: Place,
  megabytes: number,
  seconds: number,
  cpuTimes: CpuTimes,
): Promise<Sample> {
  const before = await cpuTimes();
  const megabytesPerSecondDown = megabytes / (await secondsDown(place, megabytes * 1e6));
  const megabytesPerSecondUp = megabytes / (await secondsUp(place, megabytes * 1e6));
  const after = await cpuTimes();
  const one = await requests(place, 1, seconds);
  const many = await requests(place, 16, seconds);
  return {
    megabytesPerSecondDown,
    megabytesPerSecondUp,
    millisecondsMedian: percentile(one, 0.5),
    milliseconds99: percentile(one, 0.99),
    requestsBy1: one.length / seconds,
    requestsBy16: many.length / seconds,
    cpuSecondsOnGate: ((after.gate - before.gate) * 1000) / (2 * megabytes),
    cpuSecondsOnNas: ((after.nas - before.nas) * 1000) / (2 * megabytes),
  };
}

/** From the first byte requested to the last one received. */
async function secondsDown({ host, port }: Place, bytes: number): Promise<number> {
  let left = bytes;
  let done = (_seconds: number): void => undefined;
  let fail = (_error: Error): void => undefined;
  const ended = new Promise<number>((resolve, reject) => {
    done = resolve;
    fail = reject;
  });
  let started = 0;
  const buffer = Buffer.allocUnsafe(BLOCK.length);
  const callback = (received: number): boolean => {
    left -= received;
    if (left <= 0) done((performance.now() - started) / 1000);
    return true;
  };
  const socket = connect({ host, port, noDelay: true, onread: { buffer, callback } });
  socket.once("error", fail).once("close", () => fail(new Error(`port ${port} closed within a transfer`)));
  await once(socket, "connect");
  started = performance.now();
  socket.write(`send ${bytes}\n`);
  try {
    return await ended;
  } finally {
    socket.destroy();
  }
}

/** From the first byte sent until the other end reports that it has the last one. */
async function secondsUp(place: Place, bytes: number): Promise<number> {
  const socket = await open(place);
  try {
    socket.write(`take ${bytes}\n`);
    await once(socket, "data"); // "go"
    const started = performance.now();
    const taken = once(socket, "data");
    for (let left = bytes; left > 0; left -= BLOCK.length) {
      const part = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
      if (!socket.write(part)) await once(socket, "drain");
    }
    await taken;
    return (performance.now() - started) / 1000;
  } finally {
    socket.destroy();
  }
}

/** Milliseconds of each request that some connections make, one after the other, in that many seconds. */
async function requests(place: Place, connections: number, seconds: number): Promise<number[]> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(place)));
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  const run = (socket: Socket) =>
    new Promise<void>((resolve, reject) => {
      let asked = performance.now();
      const next = () => {
        asked = performance.now();
        if (asked >= end) return resolve();
        socket.write("ping\n");
      };
      socket.on("data", () => {
        times.push(performance.now() - asked);
        next();
      });
      socket.once("error", reject).once("close", () => reject(new Error("closed within a request")));
      next();
    });
  try {
    await Promise.all(sockets.map(run));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  return times;
}

async function open({ host, port }: Place): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  return socket;
}
