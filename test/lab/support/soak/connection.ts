import { createHash, randomBytes, randomInt } from "node:crypto";
import { type Socket, connect } from "node:net";

/** The received bytes differ from the sent ones: no fault can excuse that. */
export class FalseByte extends Error {}

/** The first line of a target, so that the watchdog treats it as an SSH server. */
export const BANNER = "SSH-2.0-soak\r\n";

const HEAD = 8;
const DIGEST = 32;

/**
 * A connection through a forward, to a target of `targets.ts`. A request is its number, its length and random bytes;
 * the answer repeats all of it, with the SHA-256 of what arrived there.
 */
export class Connection {
  private received = Buffer.alloc(0);
  private failure: Error | undefined;
  private wake: () => void = () => undefined;
  private number = 0;

  private constructor(private readonly socket: Socket) {
    const fail = (error: Error) => {
      this.failure ??= error;
      this.wake();
    };
    socket.on("data", (data) => {
      this.received = Buffer.concat([this.received, data]);
      this.wake();
    });
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("closed by the other end")));
  }

  /** Connects, and reads the banner if there should be one. */
  static async open(address: string, port: number, banner: boolean, seconds: number): Promise<Connection> {
    const connection = new Connection(connect({ host: address, port, noDelay: true }));
    try {
      await connection.within(seconds, async () => {
        if (!banner) return;
        const first = (await connection.read(BANNER.length)).toString();
        if (first !== BANNER) throw new FalseByte(`the banner is ${JSON.stringify(first)}`);
      });
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Sends a request, and checks every byte of the answer. */
  async request(size: number, seconds: number): Promise<void> {
    const head = Buffer.alloc(HEAD);
    head.writeUInt32BE(this.number++, 0);
    head.writeUInt32BE(size, 4);
    const sent = Buffer.concat([head, randomBytes(size)]);
    this.socket.write(sent);
    const answer = await this.within(seconds, () => this.read(sent.length + DIGEST));
    const there = answer.subarray(0, DIGEST);
    const digest = createHash("sha256").update(sent).digest();
    if (!there.equals(digest)) throw new FalseByte(`request ${this.number} did not arrive as it was sent`);
    if (!answer.subarray(DIGEST).equals(sent))
      throw new FalseByte(`answer ${this.number} is not what was sent`);
    if (this.received.length > 0) throw new FalseByte(`answer ${this.number} has bytes too many`);
  }

  close(): void {
    this.socket.destroy();
  }

  private async read(length: number): Promise<Buffer> {
    while (this.received.length < length) {
      if (this.failure) throw this.failure;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const bytes = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    return bytes;
  }

  private async within<T>(seconds: number, act: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.failure ??= new Error(`no answer within ${seconds} s`);
      this.wake();
    }, seconds * 1000);
    return act().finally(() => clearTimeout(timer));
  }
}

/** The length of a request: mostly small, sometimes more than a channel's window. */
export const someSize = (): number => (randomInt(10) === 0 ? randomInt(100_000) : randomInt(4_000));
