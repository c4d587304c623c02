import { setTimeout as sleep } from "node:timers/promises";
import { Connection, FalseByte, someSize } from "./connection.ts";
import type { Try } from "./downTime.ts";
import type { Seen } from "./judge.ts";

/** A forward in use. */
export interface UsedForward {
  tunnel: string;
  /** Its name within the tunnel. */
  forward: string;
  /** Its port on the public host. */
  port: number;
  /** Whether its target begins with a banner. */
  banner: boolean;
}

/** Milliseconds from one short connection of a forward to its next. */
const SHORT_EVERY = 250;
/** The time limit of a short one in seconds. */
const SHORT_SECONDS = 3;
/** Milliseconds from one request of a long-lived connection to its next. */
const LONG_EVERY = 400;
/** The time limit in seconds for a request of a long-lived one. */
const LONG_SECONDS = 5;

/** The time, in seconds, by a clock that is never set. */
export const now = (): number => performance.now() / 1000;

interface State extends UsedForward {
  tries: Try[];
  breaks: string[];
  /** Whether the long-lived connection is open, and has had an answer. */
  steady: boolean;
}

/**
 * Uses each forward all the time, from outside the hosts: every quarter of a second a short connection with one
 * request, and one long-lived connection with continuous requests, which is opened again when it breaks.
 */
export class Traffic {
  /** Received data that differs from what was sent. */
  readonly falseBytes: string[] = [];
  /** Requests that were answered. */
  answered = 0;
  private readonly states: State[];
  private readonly underWay = new Set<Promise<void>>();
  private readonly timer: NodeJS.Timeout;
  private readonly loops: Promise<void>[];
  private paused = false;
  private stopped = false;

  constructor(
    private readonly address: string,
    forwards: UsedForward[],
  ) {
    this.states = forwards.map((forward) => ({ ...forward, tries: [], breaks: [], steady: false }));
    this.loops = this.states.map((state) => this.keepOne(state));
    this.timer = setInterval(() => {
      if (this.paused) return;
      for (const state of this.states) {
        const short = this.short(state).finally(() => this.underWay.delete(short));
        this.underWay.add(short);
      }
    }, SHORT_EVERY);
  }

  /** Starts no short connections until `resume`, and waits for those in progress. */
  async pause(): Promise<void> {
    this.paused = true;
    await Promise.all(this.underWay);
  }

  resume(): void {
    this.paused = false;
  }

  /** Whether every long-lived connection is open. */
  isSteady(): boolean {
    return this.states.every(({ steady }) => steady);
  }

  /** The observations since the last call. */
  take(): Seen[] {
    return this.states.map((state) => {
      const { tunnel, forward, tries, breaks } = state;
      state.tries = [];
      state.breaks = [];
      return { tunnel, forward, tries, breaks };
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await Promise.all([...this.loops, ...this.underWay]);
  }

  private async short(state: State): Promise<void> {
    const started = now();
    const error = await this.use(state, SHORT_SECONDS, async (connection) => {
      await connection.request(someSize(), SHORT_SECONDS);
      this.answered++;
    });
    state.tries.push({ started, ended: now(), ...(error !== undefined && { error }) });
  }

  private async keepOne(state: State): Promise<void> {
    while (!this.stopped) {
      const error = await this.use(state, SHORT_SECONDS, async (connection) => {
        while (!this.stopped) {
          await connection.request(someSize(), LONG_SECONDS);
          this.answered++;
          state.steady = true;
          await sleep(LONG_EVERY);
        }
      });
      if (state.steady && error !== undefined) state.breaks.push(error);
      state.steady = false;
      await sleep(SHORT_EVERY);
    }
  }

  /** Opens a connection, uses and closes it; returns the error. */
  private async use(
    { tunnel, forward, port, banner }: State,
    seconds: number,
    act: (connection: Connection) => Promise<void>,
  ): Promise<string | undefined> {
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(this.address, port, banner, seconds);
      await act(connection);
      return undefined;
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof FalseByte) this.falseBytes.push(`forward ${forward} of ${tunnel}: ${message}`);
      return message;
    } finally {
      connection?.close();
    }
  }
}
