import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { journal } from "./support/journal.ts";
import { until } from "./support/until.ts";
import { scriptOf, sshd } from "./support/versions.ts";

/** What temporarily prevents a rollback. The tests are a story: each continues from the one before. */
describe("a rollback that fails at first", () => {
  let lab: Lab;
  let gate: Host;

  beforeAll(async () => {
    lab = await Lab.up({ name: "rollback-retries", hosts: ["gate"] });
    gate = lab.host("gate");
    await apply("11", "no");
    await apply("11", "yes");
  });

  afterAll(() => Lab.clear("rollback-retries"));

  const apply = (version: string, confirm: "yes" | "no") =>
    gate.run("sh -s -- apply", { input: scriptOf(sshd, version, confirm) });
  const unit = "owner-sshd-rollback";
  /** As its timer does a minute after the change. */
  const timeIsUp = () => gate.run(`systemctl start ${unit}.service && systemctl stop ${unit}.timer`);
  const version = async () => (await gate.run(sshd.look)).stdout;
  const trials = async () =>
    (
      await gate.run(
        `ls -d /var/lib/*rollback /var/lib/*rollback.ended /etc/systemd/system/*rollback* 2>/dev/null
         systemctl list-units --plain --no-legend '*rollback*'`,
        { allowFailure: true },
      )
    ).stdout;
  /** If sshd has loaded the old configuration, it was reloaded after the file was restored. */
  const reloads = async () =>
    (await gate.run("journalctl -q -o cat -u ssh | grep -c '^Reloaded' || :")).stdout;

  it("tries again until a mistake in sshd's configuration is repaired, and does not report success before", async () => {
    const before = await reloads();
    await apply("12", "no");
    await gate.run("echo 'Nonsense yes' >/etc/ssh/sshd_config.d/50-own.conf");
    await timeIsUp();
    await until("the rollback to fail", 30, async () =>
      (await journal(gate, `-u ${unit}`)).includes(
        "sshd does not load the old configuration; this is tried again",
      ),
    );
    expect((await gate.run(`ls /var/lib/${unit}`)).stdout).toContain("kept");
    expect(await journal(gate, `-u ${unit}`)).not.toContain("the old configuration is back");
    await gate.run("rm /etc/ssh/sshd_config.d/50-own.conf");
    await until("the rollback", 30, async () => (await trials()) === "");
    expect(await version()).toBe("11");
    expect(await journal(gate, `-u ${unit}`)).toContain("the old configuration is back");
    expect(Number(await reloads())).toBe(Number(before) + 2);
  });

  it("tries again during the boot in which it failed, and sshd loads the old configuration then", async () => {
    await apply("12", "no");
    // As on a full disk, the file cannot be written.
    const inTheWay = "/etc/ssh/sshd_config.d/.00-owner.conf.ssh-reverse-tunnel";
    await gate.run(`mkdir -p ${inTheWay}/x`);
    await gate.powerCut();
    await gate.boot();
    await until("a second attempt", 60, async () =>
      (await journal(gate, `-u ${unit}-again`)).includes("cannot be written; this is tried again"),
    );
    expect(await version()).toBe("12");
    await gate.run(`rm -r ${inTheWay}`);
    await until("the rollback", 30, async () => (await trials()) === "");
    expect(await version()).toBe("11");
    expect(await journal(gate, "-b -u ssh")).toContain("Reloaded");
    expect((await gate.run("systemctl list-units --failed --plain --no-legend")).stdout).toBe("");
  });

  it("does not prevent the next run", async () => {
    await apply("12", "no");
    await gate.run("echo 'Nonsense yes' >/etc/ssh/sshd_config.d/50-own.conf");
    await timeIsUp();
    await until("the file to be back", 30, async () => (await version()).endsWith("\n11"));
    await gate.run("rm /etc/ssh/sshd_config.d/50-own.conf");
    await apply("12", "no");
    await apply("12", "yes");
    expect(await version()).toBe("12");
    expect(await trials()).toBe("");
  });

  it("is still noticed if the disk has lost a part of what it keeps", async () => {
    await apply("13", "no");
    await gate.run(`systemctl stop ${unit}.timer; : >/var/lib/${unit}/kept`);
    const { stderr } = await gate.run("sh -s -- apply", {
      input: scriptOf(sshd, "14", "no"),
      allowFailure: true,
    });
    expect(stderr).toContain(
      `this host lost its power during a change that nobody had confirmed, and what it had kept of the configuration before, in /var/lib/${unit}, is not whole`,
    );
    // What is there, and is wanted, is confirmed by a new login.
    await apply("13", "no");
    await apply("13", "yes");
    expect(await version()).toBe("13");
    expect(await trials()).toBe("");
  });

  it("leaves nothing behind after a removal", async () => {
    await apply("14", "no");
    await gate.run("sh -s -- remove", { input: scriptOf(sshd, "14", "no") });
    expect(await trials()).toBe("");
    expect((await gate.run("ls /etc/ssh/sshd_config.d")).stdout).toBe("");
  });
});
