import { inTurns } from "../../lab/inTurns.ts";
import type { Contender } from "./contender.ts";
import type { Fleet, Tunnel } from "./fleet.ts";
import { idleCpu, memoryOfGate, rootIsGone } from "./idle.ts";
import { begunIn, mostAtOnce, readLogins } from "./logins.ts";
import type { Operation } from "./operations.ts";
import { type Attempt, type Run, succeeded } from "./results.ts";

/** How to measure. */
export interface Measure {
  /** The limit for an operation. */
  limitSeconds: number;
  /** How long the public host is observed while idle. */
  idleSeconds: number;
  onProgress: (line: string) => void;
}

/** An operation is repeated, as a user would do, until no host is lost; but at most this many times. */
const ATTEMPTS = 3;

/** A contender does not complete an operation. */
class GivenUp extends Error {}

/**
 * Lets a contender create the tunnels of a fleet, change them, and remove them. The results are stored in `run`, even
 * if it does not finish.
 */
export async function measure(fleet: Fleet, contender: Contender, how: Measure, run: Run): Promise<void> {
  await new Measurement(fleet, contender, how, run).all();
}

class Measurement {
  /** When the first attempt of each operation began and ended. */
  private readonly spans: { id: Operation["id"]; from: number; to: number }[] = [];
  private readonly began = now();
  private tunnels: Tunnel[];

  public constructor(
    private readonly fleet: Fleet,
    private readonly contender: Contender,
    private readonly how: Measure,
    private readonly run: Run,
  ) {
    this.tunnels = fleet.tunnels();
  }

  public async all(): Promise<void> {
    await rootIsGone(this.fleet);
    const megabytes = await memoryOfGate(this.fleet);
    try {
      await this.operations(megabytes);
    } catch (error) {
      if (!(error instanceof GivenUp)) throw error;
      this.how.onProgress(`${error.message}: what would come after it is left out`);
    }
    const { contender, fleet, how } = this;
    // If one cannot remove its tunnels, the next cannot run.
    await this.take(
      "removal",
      () => contender.remove(how.limitSeconds),
      () => fleet.left(this.tunnels),
    );
    await this.countLogins();
  }

  private async operations(megabytesBefore: number): Promise<void> {
    const { fleet, contender, how } = this;
    const limit = how.limitSeconds;
    await this.apply("first");
    await this.apply("again");
    if (contender.preview) await this.take("preview", () => contender.preview!(limit));
    if (contender.state) this.run.state = await contender.state();
    await this.watchIdle(megabytesBefore);
    this.tunnels = fleet.tunnels(fleet.size + 1);
    await this.apply("more");
    if (contender.applyTo) {
      this.tunnels = fleet.tunnels(fleet.size + 2);
      await this.apply("moreOnly", this.tunnels.at(-1));
    }
    this.moveAPort();
    await this.apply("port");
    if (contender.applyTo) {
      this.moveAPort();
      await this.apply("portOnly", this.tunnels[0]);
    }
  }

  /** Of the first tunnel. */
  private moveAPort(): void {
    const [first, ...others] = this.tunnels;
    if (first) this.tunnels = [{ ...first, webPort: first.webPort + 1000 }, ...others];
  }

  private async apply(id: Operation["id"], only?: Tunnel): Promise<void> {
    const { fleet, contender, how } = this;
    await contender.prepare(this.tunnels);
    await this.take(
      id,
      () => (only ? contender.applyTo!(only, how.limitSeconds) : contender.apply(how.limitSeconds)),
      () => fleet.lost(this.tunnels),
    );
  }

  /** Measures an operation, and finds the hosts that it has lost. */
  private async take(
    id: Operation["id"],
    act: () => Promise<number>,
    findLost: () => Promise<string[]> = () => Promise.resolve([]),
  ): Promise<void> {
    const attempts: Attempt[] = [];
    const sample = { attempts, changes: 0, gateLogins: 0, internalLogins: 0, sessions: 0 };
    this.run.samples[id] = sample;
    while (attempts.length < ATTEMPTS) {
      const from = now();
      const { changes, failed } = await this.attempt(id, act);
      const to = now();
      if (attempts.length === 0) {
        this.spans.push({ id, from, to });
        sample.changes = changes;
      }
      const lost = await findLost();
      const attempt = { seconds: to - from, failed, lost: lost.length };
      attempts.push(attempt);
      this.say(id, `${attempt.seconds.toFixed(1)} s${lost.length ? `, lost: ${lost.join(", ")}` : ""}`);
      if (succeeded(attempt)) return;
    }
    throw new GivenUp(`${this.contender.title} has not done "${id}" in ${ATTEMPTS} attempts`);
  }

  private async attempt(
    id: Operation["id"],
    act: () => Promise<number>,
  ): Promise<{ changes: number; failed: boolean }> {
    const started = now();
    const seconds = () => (now() - started).toFixed(0);
    const timer = setInterval(() => this.say(id, `${seconds()} s, ${this.contender.doing()}`), 10_000);
    this.say(id, "…");
    try {
      return { changes: await act(), failed: false };
    } catch (error) {
      this.say(id, error instanceof Error ? error.message : String(error));
      return { changes: 0, failed: true };
    } finally {
      clearInterval(timer);
    }
  }

  private async watchIdle(megabytesBefore: number): Promise<void> {
    const { fleet, how } = this;
    await rootIsGone(fleet);
    this.say("idle", `for ${how.idleSeconds} s …`);
    const megabytes = (await memoryOfGate(fleet)) - megabytesBefore;
    const cpu = await idleCpu(fleet, how.idleSeconds);
    this.run.idle = { cpu, megabytesPerTunnel: megabytes / fleet.size };
  }

  /** After all measurements, since reading so many journals takes a while. */
  private async countLogins(): Promise<void> {
    const { fleet, began, spans, run } = this;
    this.say("logins", "reading the journals …");
    const gate = await readLogins(fleet.gate, began);
    const hosts = fleet.tunnels(fleet.size + 2).map(({ host }) => host);
    const internal = await inTurns(hosts, 8, (host) => readLogins(host, began));
    for (const { id, from, to } of spans) {
      const sample = run.samples[id];
      if (!sample) continue;
      const there = begunIn(gate, from, to);
      sample.gateLogins = there.length;
      sample.sessions = mostAtOnce(there);
      sample.internalLogins = Math.max(...internal.map((logins) => begunIn(logins, from, to).length));
    }
  }

  private say(what: string, words: string): void {
    this.how.onProgress(`${this.fleet.size}, ${this.contender.title}: ${what}: ${words}`);
  }
}

/** From the journals. */
function now(): number {
  return Date.now() / 1000;
}
