import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { noGuests } from "../../lab/guest.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { rest, scriptOf, sshd } from "../lab/support/versions.ts";
import { sshAsUser } from "../lab/support/ssh.ts";

const reason = await noGuests();

// Set SEED and CUTS in the environment for a longer search by hand.
const seed = Number(process.env["SEED"] || 1);
const cuts = Number(process.env["CUTS"] || 2);

/** A guest has its own kernel, which is lost with everything that it has not written to its disk. */
describe.skipIf(reason)(`a guest whose power is cut${reason ? ` (skipped: ${reason})` : ""}`, () => {
  let lab: Lab;
  let gate: Host;
  let seconds: number;

  // A guest's processor may be emulated.
  const apply = (version: string, confirm: "yes" | "no") =>
    gate.run("sh -s -- apply", {
      input: scriptOf(sshd, version, confirm).replace("TRIAL_SECONDS='60'", "TRIAL_SECONDS='600'"),
      timeoutSeconds: 300,
    });
  const version = async () =>
    (
      await gate.run(`${sshd.look}; ${rest}; rm -f /var/lib/*.taken-back`, {
        allowFailure: true,
        timeoutSeconds: 300,
      })
    ).stdout;

  beforeAll(async () => {
    lab = await Lab.up({ name: "rollback-guest", hosts: [{ name: "gate", guest: true }] });
    gate = lab.host("gate");
    await apply("11", "no");
    await apply("11", "yes");
    const start = Date.now();
    await apply("12", "no");
    seconds = (Date.now() - start) / 1000;
    await gate.run("sh /var/lib/owner-sshd-rollback/roll-back timer");
  }, 1_200_000); // the first time, this builds the image

  afterAll(() => Lab.clear("rollback-guest"));

  it("returns to the old configuration if that was during a trial of sshd, or some seconds later", async () => {
    const random = xoroshiro128plus(seed);
    for (let cut = 0; cut < cuts; cut++) {
      const at = uniformInt(random, 0, 1000) / 1000;
      const moment = (cut % 2 === 0 ? seconds + 10 * at : seconds * at) * 1000;
      const running = apply("12", "no").catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, moment));
      await gate.powerCut();
      await running;
      await gate.boot();
      expect(await version(), `SEED=${seed}, cut after ${moment} ms`).toMatch(
        /^11(\n\/var\/lib\/owner-sshd-rollback\.taken-back)?$/,
      );
      expect((await sshAsUser(lab, "-l", "alice", "gate", "true")).exitCode).toBe(0);
    }
  });

  it("is changed by the next run", async () => {
    await apply("12", "no");
    await apply("12", "yes");
    expect(await version()).toBe("12");
  });
});
