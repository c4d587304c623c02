import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { Disk } from "./support/disk.ts";
import { rest, scriptOf, sshd, tunnel } from "./support/versions.ts";

// SEED and CUTS in the environment are for a longer search by hand.
const seed = Number(process.env["SEED"] || 1);
const cuts = Number(process.env["CUTS"] || 2);

describe.each([sshd, tunnel])(
  "a power cut, the disk forgetting what was not written to it, in a trial of: $name",
  (trial) => {
    let before: Disk;
    let changed: Disk;
    let seconds: number;

    const apply = async (disk: Disk, version: string, confirm: "yes" | "no") => {
      const { exitCode, stderr } = await disk.run("sh -s -- apply", scriptOf(trial, version, confirm));
      if (exitCode !== 0) throw new Error(stderr);
    };

    beforeAll(async () => {
      before = await Disk.make();
      await before.run("usermod --home '/home/John * Doe' --move-home alice");
      await apply(before, "11", "no");
      await apply(before, "11", "yes");
      changed = await before.copy();
      const start = Date.now();
      await apply(changed, "12", "no");
      seconds = (Date.now() - start) / 1000;
    });

    afterAll(() => Promise.all([before?.remove(), changed?.remove()]));

    /** Cuts, boots, and returns the version that is then there. Whatever is not as it should be throws. */
    async function round(from: Disk, at: number, command: string, input?: string): Promise<string> {
      const disk = await from.copy();
      try {
        await disk.cut(at, command, input);
        const booted = await disk.boot();
        const { stdout } = await disk.run(`${trial.look}; ${rest}`);
        // One that was cut while it was cleared away is cleared away by the next run.
        const lines = stdout
          .split("\n")
          .filter(
            (line) =>
              !/rollback(\.new|\.ended|\.taken-back|-at-boot\.service(\.new)?|-again\.service(\.new)?)$/.test(
                line,
              ),
          );
        if (lines.length !== 1) throw new Error([...lines, booted.stderr].join("; "));
        await apply(disk, "13", "no");
        await apply(disk, "13", "yes");
        const then = (await disk.run(`${trial.look}; ${rest}`)).stdout;
        if (then !== "13") throw new Error(`after the next run: ${then}`);
        return lines[0]!;
      } finally {
        await disk.remove();
      }
    }

    /** Cuts at random moments, some while the command runs, some a while after it; two disks at a time. */
    async function rounds(from: Disk, versions: string[], command: string, input?: string): Promise<void> {
      const random = xoroshiro128plus(seed);
      const moments = Array.from(
        { length: cuts },
        (_, index) =>
          (uniformInt(random, 0, 1000) / 1000) * (index % 2 === 0 ? seconds : 2.5) +
          (index % 2 === 0 ? 0 : seconds),
      );
      const failures: string[] = [];
      const one = async (at: number) => {
        const found = await round(from, at, command, input).catch((error: unknown) => String(error));
        if (!versions.includes(found)) failures.push(`SEED=${seed}, cut after ${at.toFixed(3)} s: ${found}`);
      };
      while (moments.length > 0) await Promise.all(moments.splice(0, 2).map(one));
      expect(failures).toEqual([]);
    }

    it("would leave the new configuration, of which the disk has everything soon", async () => {
      const disk = await before.copy();
      await disk.cut(seconds + 2.5, "sh -s -- apply", scriptOf(trial, "12", "no"));
      expect((await disk.run(trial.look)).stdout).toBe("12");
      await disk.remove();
    });

    it("leaves the old configuration where nobody has confirmed the new one, and the next run goes on", () =>
      rounds(before, ["11"], "sh -s -- apply", scriptOf(trial, "12", "no")));

    it("leaves the old configuration while the host takes the new one back", () =>
      rounds(changed, ["11"], `sh /var/lib/owner-${trial.name}-rollback/roll-back timer`));

    it("leaves one of both, whole, while the new one is confirmed", () =>
      rounds(changed, ["11", "12"], "sh -s -- apply", scriptOf(trial, "12", "yes")));
  },
);
