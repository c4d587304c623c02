import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { Disk } from "./support/disk.ts";
import { key, rest, scriptOf, sshd, tunnel } from "./support/versions.ts";
import type { Trial } from "./support/versions.ts";

// Set SEED and CUTS in the environment for a longer search by hand.
const seed = Number(process.env["SEED"] || 1);
const cuts = Number(process.env["CUTS"] || 2);

/** A disk with version 11, and the cuts of whatever runs on a copy of it. */
class Cuts {
  public before!: Disk;
  /** The time that version 12 takes from its first step to its last. */
  public seconds!: number;
  /** With version 12 applied. */
  public changed!: Disk;

  constructor(private readonly trial: Trial) {}

  public readonly setUp = async (): Promise<void> => {
    this.before = await Disk.make();
    await this.before.run("usermod --home '/home/John * Doe' --move-home alice");
    await this.before.run(
      `cd ~alice && setpriv --reuid alice --regid alice --init-groups sh -c 'umask 077; mkdir -p .ssh &&
        printf "ssh-ed25519 AAAAhers her own\\n# no newline" >.ssh/authorized_keys && chmod 640 .ssh/authorized_keys'`,
    );
    await this.apply(this.before, "11", "no");
    await this.apply(this.before, "11", "yes");
    this.changed = await this.before.copy();
    const start = Date.now();
    await this.apply(this.changed, "12", "no");
    this.seconds = (Date.now() - start) / 1000;
  };

  public readonly tearDown = () => Promise.all([this.before?.remove(), this.changed?.remove()]);

  private async apply(disk: Disk, version: string, confirm: "yes" | "no"): Promise<void> {
    const { exitCode, stderr } = await disk.run("sh -s -- apply", scriptOf(this.trial, version, confirm));
    if (exitCode !== 0) throw new Error(stderr);
  }

  /** Cuts, boots, and returns the version that is then there. Throws if anything else is wrong. */
  private async round(from: Disk, at: number, command: string, input?: string): Promise<string> {
    const disk = await from.copy();
    try {
      await disk.cut(at, command, input);
      const booted = await disk.boot();
      const { stdout } = await disk.run(`${this.trial.look}; ${rest}`);
      const there = stdout.split("\n");
      // A trial that was cut while it was removed is removed by the next run, and so is one that was cut before its rollback
      // at boot was installed: until then, nothing is changed.
      const isArmed = there.some((line) => /\/system\/[^/]*-at-boot\.service$/.test(line));
      const left = /rollback(\.new|\.ended|\.taken-back|-at-boot\.service(\.new)?|-again\.service(\.new)?)$/;
      const lines = there.filter((line) => !left.test(line) && (isArmed || !/-rollback$/.test(line)));
      if (lines.length !== 1) throw new Error([...lines, booted.stderr].join("; "));
      await this.apply(disk, "13", "no");
      await this.apply(disk, "13", "yes");
      const then = (await disk.run(`${this.trial.look}; ${rest}`)).stdout;
      if (then !== "13") throw new Error(`after the next run: ${then}`);
      return lines[0]!;
    } finally {
      await disk.remove();
    }
  }

  /** Cuts at random moments, some while the command runs, some a while after it; two disks at a time. */
  public async rounds(from: Disk, versions: string[], command: string, input?: string): Promise<void> {
    const random = xoroshiro128plus(seed);
    const moments = Array.from(
      { length: cuts },
      (_, index) =>
        (uniformInt(random, 0, 1000) / 1000) * (index % 2 === 0 ? this.seconds : 2.5) +
        (index % 2 === 0 ? 0 : this.seconds),
    );
    const failures: string[] = [];
    const one = async (at: number) => {
      const found = await this.round(from, at, command, input).catch((error: unknown) => String(error));
      if (!versions.includes(found)) failures.push(`SEED=${seed}, cut after ${at.toFixed(3)} s: ${found}`);
    };
    while (moments.length > 0) await Promise.all(moments.splice(0, 2).map(one));
    expect(failures).toEqual([]);
  }

  /** The disk has all of version 12 within the period of the cuts. */
  public async expectSoonThere(): Promise<void> {
    const disk = await this.before.copy();
    await disk.cut(this.seconds + 2.5, "sh -s -- apply", scriptOf(this.trial, "12", "no"));
    expect((await disk.run(this.trial.look)).stdout).toBe("12");
    await disk.remove();
  }
}

describe.each([sshd, tunnel])(
  "a power cut that loses all unsynced writes during a trial of $name",
  (trial) => {
    const cut = new Cuts(trial);
    beforeAll(cut.setUp);
    afterAll(cut.tearDown);

    it("leaves the new configuration once the disk has everything", () => cut.expectSoonThere());

    it("leaves the old configuration if the new one was not confirmed, and the next run goes on", () =>
      cut.rounds(cut.before, ["11"], "sh -s -- apply", scriptOf(trial, "12", "no")));

    it("leaves the old configuration during the host's rollback", () =>
      cut.rounds(cut.changed, ["11"], `sh /var/lib/owner-${trial.name}-rollback/roll-back timer`));

    it("leaves either configuration complete during the confirmation", () =>
      cut.rounds(cut.changed, ["11", "12"], "sh -s -- apply", scriptOf(trial, "12", "yes")));
  },
);

describe("a power cut while a line of authorized_keys changes", () => {
  const cut = new Cuts(key);
  beforeAll(cut.setUp);
  afterAll(cut.tearDown);

  it("leaves the new line once the disk has it", () => cut.expectSoonThere());

  it("leaves either the old or the new line, every other line, and a complete record", () =>
    cut.rounds(cut.before, ["11", "12"], "sh -s -- apply", scriptOf(key, "12", "no")));
});
