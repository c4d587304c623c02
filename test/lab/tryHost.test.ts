import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readFile } from "node:fs/promises";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { leftovers } from "./support/leftovers.ts";

/** The file of `make try-host`, on a host that nothing but this file has come to. */
describe("the trial of a host without Pulumi", () => {
  let lab: Lab;
  let gate: Host;
  let text: string;

  beforeAll(async () => {
    lab = await Lab.up({ name: "firewall2", hosts: ["gate"] });
    gate = lab.host("gate");
    const file = `${lab.directory}/try-host.sh`;
    await exec("npx", ["tsx", "tools/tryHost.ts", file]);
    text = await readFile(file, "utf8");
  });

  afterAll(() => Lab.clear("firewall2"));

  const run = async (script = text) => {
    const { stdout, exitCode } = await gate.run(
      "cat >/tmp/try.sh && sh /tmp/try.sh; status=$?; rm /tmp/try.sh; exit $status",
      {
        input: script,
        allowFailure: true,
      },
    );
    const lines = stdout.split("\n");
    return { stdout, exitCode, failed: lines.filter((line) => line.startsWith("FAIL")), rows: lines };
  };

  it("passes every check, those of the firewall too, and leaves nothing behind", async () => {
    await gate.run("systemctl start firewalld && until firewall-cmd --quiet --state; do sleep 0.1; done");
    const before = await gate.snapshot();
    const { stdout, exitCode, failed } = await run();
    expect({ failed, exitCode }, stdout).toEqual({ failed: [], exitCode: 0 });
    expect(stdout).toMatch(/^== 32 passed, 0 failed, 0 skipped$/m);
    expect(await leftovers(gate, before)).toEqual([]);
    await gate.run("systemctl stop firewalld");
  });

  it("says what it has found left behind", async () => {
    const { exitCode, rows } = await run(text.replaceAll(/^ {2}remove_all$/gm, "  :"));
    expect(exitCode).toBe(1);
    expect(rows).toContain("FAIL  nothing is left behind: see the lines above");
    expect(rows.filter((line) => line.startsWith("skip"))).toEqual([
      "skip  sources-change: no firewall is active",
      "skip  sources-confirm: no firewall is active",
    ]);
  });

  it("says which script fails, with its sentence, and removes what it has made", async () => {
    const before = await gate.snapshot();
    await gate.run("useradd --system tunnel-try");
    const { exitCode, rows, failed, stdout } = await run();
    expect(exitCode).toBe(1);
    expect(failed[0], stdout).toBe(
      "FAIL  try-on.gate-account-script: error: gate (127.0.0.1): the account tunnel-try exists already and is not ours; move it away, or choose another name",
    );
    expect(rows).toContain("pass  nothing is left behind");
    await gate.run("userdel tunnel-try");
    expect(await leftovers(gate, before)).toEqual([]);
  });
});
