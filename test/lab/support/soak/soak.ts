import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../../../lab/exec.ts";
import type { Host } from "../../../../lab/host.ts";
import { healthCheckOf } from "../settings.ts";
import { type Census, census, isWhole, leaks } from "./census.ts";
import { type Outcome, downTime, inSeconds } from "./downTime.ts";
import { dropNothing, giveOldAddress, inflict, tunnelPid } from "./inflict.ts";
import { type Finding, type Pids, type Sight, disturbs, judge } from "./judge.ts";
import { kindOf } from "./kinds.ts";
import { type Fault, slotOf } from "./plan.ts";
import { usedForwards } from "./targets.ts";
import { Traffic, now } from "./traffic.ts";

/** Seconds in which a host must have cleaned up after a fault: the watchdog, which does it, has run twice. */
const CLEAR_UP_SECONDS = 30;

/** Seconds in which every client must have noticed, once the bound of a fault is over. */
const NOTICE_SECONDS = 10;

/** Seconds to wait for a forward that is not back in time: for the report, and for the next faults. */
const AT_LONGEST_SECONDS = 120;

/** What happens in addition to a fault, without the soak's knowledge. */
interface More {
  meanwhile?: () => Promise<unknown>;
  /** Called once it is known whether the forwards work in time. */
  afterwards?: () => Promise<unknown>;
}

/** Runs faults, one after the other, on tunnels in constant use, and collects the violations. */
export class Soak {
  readonly outcomes: Outcome[] = [];
  /** The state of each host when everything works. */
  private readonly first = new Map<Host, Census>();
  /** The clients at the end of the last fault. */
  private last: Pids = {};

  private constructor(
    private readonly gate: Host,
    private readonly hosts: Host[],
    private readonly traffic: Traffic,
    private readonly say: (line: string) => void,
  ) {}

  /** Starts to use the tunnels, and records the state of each host when everything works. */
  static async begin(gate: Host, hosts: Host[], say: (line: string) => void): Promise<Soak> {
    const soak = new Soak(gate, hosts, new Traffic(gate.address, usedForwards(hosts)), say);
    try {
      await soak.remember();
    } catch (error) {
      await soak.end();
      throw error;
    }
    return soak;
  }

  /** Requests that were answered. */
  get answered(): number {
    return this.traffic.answered;
  }

  /** Causes the faults at their times; returns the violations. */
  async run(plan: Fault[]): Promise<Finding[]> {
    const findings: Finding[] = [];
    const start = now();
    for (const fault of plan) {
      const late = now() - start - fault.at;
      if (late > 1) this.say(`      the next fault is ${inSeconds(late)} late`);
      await sleep(Math.max(0, -late) * 1000);
      const where = `${offset(fault.at)} ${fault.kind} (${fault.host})`;
      const found = await this.once(fault).catch((error: unknown) => {
        throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      });
      if (found.length > 0) await this.tellJournals(fault);
      findings.push(...found.map(({ claim, text }) => ({ claim, text: `${where}: ${text}` })));
    }
    return findings;
  }

  /** Causes one fault, and observes its effects until its bound; returns the violations. */
  async once(fault: Fault, more: More = {}): Promise<Finding[]> {
    const before = await this.pids();
    const findings = this.sinceLast(before);
    this.traffic.resume();
    const host = this.hosts.find(({ name }) => name === fault.host)!;
    const [ended] = await Promise.all([inflict(fault, this.gate, host), more.meanwhile?.()]);
    // Everything that fails within the bound, or after it, is observed.
    await sleep(Math.max(0, ended + kindOf(fault.kind).backWithin - now()) * 1000);
    await this.traffic.pause();
    const forwards = this.traffic.take();
    const after = await this.pids();
    const sight: Sight = { fault, ended, forwards, before, after };
    findings.push(...judge(sight));
    await more.afterwards?.();
    for (const each of [this.gate, host]) await dropNothing(each);
    findings.push(...(await this.untilAllIsBack(ended)), ...(await this.leaks()));
    for (const text of this.traffic.falseBytes.splice(0)) findings.push({ claim: "no false byte", text });
    this.report(sight, findings);
    this.traffic.take();
    this.last = await this.pids();
    return findings;
  }

  /** Between two faults nothing may break either. */
  private sinceLast(pids: Pids): Finding[] {
    const broken = this.traffic
      .take()
      .flatMap(({ tunnel, forward, breaks }) =>
        breaks.map(
          (error) => `forward ${forward} of ${tunnel}, before the fault: a connection broke: ${error}`,
        ),
      );
    const restarted = Object.keys(this.last)
      .filter((tunnel) => this.last[tunnel] !== pids[tunnel])
      .map((tunnel) => `the tunnel ${tunnel} was started anew before the fault`);
    return [...broken, ...restarted].map((text) => ({ claim: "others carry on", text }));
  }

  async end(): Promise<void> {
    await this.traffic.stop();
    for (const host of this.hosts) await giveOldAddress(host);
  }

  /** Waits until every long-lived connection is open again; its client gives up one that hangs after a while. */
  private async untilAllIsBack(faultEnd: number): Promise<Finding[]> {
    const back = (seconds: number) =>
      until("every forward", seconds, () => this.traffic.isSteady()).then(
        () => true,
        () => false,
      );
    if (await back(NOTICE_SECONDS)) return [];
    const when = (await back(AT_LONGEST_SECONDS)) ? "only" : "not even";
    const text = `all works ${when} ${inSeconds(now() - faultEnd)} after the fault's end`;
    return [{ claim: "back in time", text }];
  }

  /** Waits until everything is in use and each tunnel has one client and one session, and records the state. */
  private async remember(): Promise<void> {
    await this.traffic.pause();
    await until("every forward to be used", 30, () => this.traffic.isSteady());
    // What a check stores in /run exists from its first run on.
    await this.gate.run(`systemctl start ${healthCheckOf()}`);
    for (const host of this.hosts) await host.run(`systemctl start ssh-tunnel-${host.name}-watchdog`);
    for (const host of this.all) {
      const tunnels = host === this.gate ? this.hosts.length : 0;
      const first = await until(`all of ${host.name}'s end of the tunnels, and no more`, 30, async () => {
        const there = await census(host);
        return isWhole(there, tunnels) && there;
      });
      this.first.set(host, first);
    }
    this.last = await this.pids();
    this.traffic.take();
  }

  /** What a host has too much or too little of, after it had time to clean up. */
  private async leaks(): Promise<Finding[]> {
    const look = async (host: Host): Promise<Finding[]> => {
      let found: string[] = [];
      const isClear = async () => {
        found = leaks(this.first.get(host)!, await census(host));
        return found.length === 0;
      };
      await until("nothing too many", CLEAR_UP_SECONDS, isClear, 300).catch(() => undefined);
      return found.map((text) => ({ claim: "no leak", text: `${host.name}: ${text}` }));
    };
    return (await Promise.all(this.all.map(look))).flat();
  }

  /** Shows the messages of both hosts during a fault with violations. */
  private async tellJournals({ host, ...fault }: Fault): Promise<void> {
    const since = Math.ceil(slotOf(fault)) + CLEAR_UP_SECONDS;
    const internal = this.hosts.filter(({ name }) => name === host);
    for (const each of [this.gate, ...internal]) {
      const { stdout } = await each.run(`journalctl -q -o short-precise --since -${since}s -n 60`);
      this.say(`      the journal of ${each.name}:\n${stdout.replace(/^/gm, "        ")}`);
    }
  }

  private get all(): Host[] {
    return [this.gate, ...this.hosts];
  }

  private async pids(): Promise<Pids> {
    const pids = this.hosts.map(async (host) => [host.name, await tunnelPid(host)] as const);
    return Object.fromEntries(await Promise.all(pids));
  }

  private report({ fault, ended, forwards }: Sight, findings: Finding[]): void {
    const { says, backWithin, disturbs: reach, lasts } = kindOf(fault.kind);
    const disturbed = forwards.filter((seen) => disturbs(fault, seen));
    const down = disturbed.map(({ tries }) => downTime(tries, ended));
    this.outcomes.push({ says, backWithin, down });
    const where = reach === "one tunnel" || reach === "one forward" ? ` (${fault.host})` : "";
    const length = lasts ? `, ${fault.seconds} s` : "";
    const each = disturbed.map((seen, i) => `${seen.tunnel}/${seen.forward} ${inSeconds(down[i])}`);
    this.say(`${offset(fault.at)} ${says}${where}${length}: ${each.join(", ") || "nothing disturbed"}`);
    for (const { claim, text } of findings) this.say(`      NOT ${claim}: ${text}`);
  }
}

/** "4:05". */
const offset = (seconds: number) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
