import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

/** From how many hosts on a summary is shorter than what it sums up. */
const many = 3;

/** What the scripts of one host have done. */
export interface HostReport {
  /** A script of the host. */
  add: (script: command.remote.Command) => void;
  /** One of them has run. */
  addChange: () => void;
  /** One of them has failed; the first failure is the cause of the others. */
  addFailure: (sentence: string) => void;
}

/** What a run has done, host by host. A tunnel counts with its internal host, on whichever host it fails. */
export class RunReport {
  private readonly scripts: { host: string; done: Promise<boolean> }[] = [];
  private readonly changed = new Set<string>();
  private readonly failures = new Map<string, string>();
  private readonly skipped: string[];

  /** @param skipped the hosts that are left as they are */
  constructor(skipped: string[] = []) {
    this.skipped = skipped;
  }

  /** The part of it that is about one host. */
  of(host: string): HostReport {
    return {
      add: (script) => {
        // The engine returns no outputs for what has failed, and for what waits for that.
        const { isKnown } = script.stdout as unknown as { isKnown: Promise<boolean> };
        this.scripts.push({ host, done: isKnown });
      },
      addChange: () => this.changed.add(host),
      addFailure: (sentence) => {
        if (!this.failures.has(host)) this.failures.set(host, sentence);
      },
    };
  }

  /** Prints which hosts are skipped now, and, if there are many hosts, a summary when all scripts have ended. */
  print(): void {
    if (this.skipped.length > 0) {
      void pulumi.log.info(
        `${this.skipped.join(", ")}: skipped; nothing is planned there until 'skip' is removed`,
      );
    }
    // None runs in a preview.
    if (pulumi.runtime.isDryRun()) return;
    // What fails before it is registered ends the program, with its own error.
    this.printSummary().catch(() => undefined);
  }

  private async printSummary(): Promise<void> {
    const hosts = [...new Set(this.scripts.map(({ host }) => host))];
    if (hosts.length + this.skipped.length < many) return;
    const done = await Promise.all(this.scripts.map((script) => script.done));
    const unfinished = new Set(this.scripts.filter((_, index) => !done[index]).map(({ host }) => host));
    const { changed, failures, skipped } = this;
    const text = summaryOf({ all: hosts, changed, failures, unfinished, skipped });
    await (unfinished.size > 0 ? pulumi.log.warn(text) : pulumi.log.info(text));
  }
}

/** What became of the hosts of a run. */
interface Outcome {
  all: string[];
  changed: ReadonlySet<string>;
  /** A sentence for each host on which something has failed. */
  failures: ReadonlyMap<string, string>;
  /** The hosts on which something has not been done, including those that have failed. */
  unfinished: ReadonlySet<string>;
  skipped: string[];
}

/** The summary: how many are up to date, changed, failed, each with its sentence, and those that wait for them. */
export function summaryOf({ all, changed, failures, unfinished, skipped }: Outcome): string {
  const failed = all.filter((host) => failures.has(host));
  const waiting = all.filter((host) => unfinished.has(host) && !failures.has(host));
  const rest = all.filter((host) => !failed.includes(host) && !waiting.includes(host));
  const changes = rest.filter((host) => changed.has(host));
  const counts = [
    [rest.length - changes.length, "up to date"],
    [changes.length, "changed"],
    [failed.length, "failed"],
    [waiting.length, "not finished"],
    [skipped.length, "skipped"],
  ] as const;
  const words = counts.filter(([count], index) => count > 0 || index < 3);
  const lines = [
    ...failed.map((host) => `failed: ${failures.get(host)}`),
    ...(waiting.length > 0 ? [`not finished, since something else has failed: ${waiting.join(", ")}`] : []),
  ];
  const total = all.length + skipped.length;
  return [`${total} hosts: ${words.map((each) => each.join(" ")).join(", ")}`, ...lines].join("\n  ");
}
