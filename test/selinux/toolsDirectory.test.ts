import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { noGuests } from "../../lab/guest.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { tunnelSettings } from "../lab/support/settings.ts";
import { denialsSince, timeOf } from "./support/denials.ts";
import { wrongLabels } from "./support/labels.ts";

const reason = await noGuests();

/** As RHEL's policy has it for /usr/local/lib: systemd does not leave its own domain with a program of this type. */
const THEIRS = "/opt/ssh-reverse-tunnel(/.*)?";
const programs = "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin";

/** An internal host whose policy gives the programs a type from which systemd starts nothing. A story. */
describe.skipIf(reason)(`a tunnel's programs${reason ? ` (skipped: ${reason})` : ""}`, () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let start: number;

  beforeAll(async () => {
    lab = await Lab.up({ name: "selinux-tools", hosts: ["gate", { name: "nas", guest: true }] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    await nas.run(`semanage fcontext -a -t lib_t '${THEIRS}'`);
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas, { nas: { timeoutSec: 120 } }) });
  }, 1_200_000); // the first time, this builds the image

  afterAll(() => Lab.clear("selinux-tools"));

  const rules = async () =>
    (await nas.run("semanage fcontext -l -C -n")).stdout.split("\n").map((line) => line.split(/ +/)[0]);
  const domain = async () =>
    (
      await nas.run(
        "tr -d '\\0' </proc/$(systemctl show -P MainPID ssh-tunnel-nas)/attr/current | cut -d: -f3",
        { allowFailure: true },
      )
    ).stdout;

  it("would run in systemd's own domain by that rule", async () => {
    await nas.run(
      `mkdir -p /opt/ssh-reverse-tunnel/try/bin && printf '#!/bin/sh\\nread -r domain </proc/$$/attr/current; echo "$domain"\\n' >/opt/ssh-reverse-tunnel/try/bin/try
       chmod 755 /opt/ssh-reverse-tunnel/try/bin/try && restorecon -R /opt/ssh-reverse-tunnel`,
    );
    const { stdout } = await nas.run("systemd-run --quiet --wait --pipe /opt/ssh-reverse-tunnel/try/bin/try");
    expect(stdout).toMatch(/:init_t:/);
    await nas.run("rm -r /opt/ssh-reverse-tunnel");
    start = await timeOf(nas);
  });

  it("get the type bin_t by a rule of their own where the policy has another for their folder", async () => {
    await stack.up();
    expect(await rules()).toEqual([THEIRS, `${programs}(/.*)?`]);
    expect(await domain()).toBe("initrc_t");
    expect(await wrongLabels(nas, [programs, `${programs}/tunnel`])).toEqual([]);
    const through = async () =>
      (await gate.run("ssh -o ConnectTimeout=5 nas hostname", { allowFailure: true })).stdout;
    await expect.poll(through, { timeout: 120_000, interval: 500 }).toBe("nas");
  });

  it("are denied nothing, and keep the rule in a second up", async () => {
    expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
    expect(await denialsSince(nas, start)).toEqual([]);
  });

  it("are an error if systemd starts them in its own domain all the same", async () => {
    await nas.run(
      "mkdir /etc/systemd/system/ssh-tunnel-nas.service.d && printf '[Service]\\nSELinuxContext=system_u:system_r:init_t:s0\\n' >/etc/systemd/system/ssh-tunnel-nas.service.d/domain.conf && systemctl daemon-reload",
    );
    await stack.setConfig(
      tunnelSettings(lab, gate, nas, { nas: { timeoutSec: 120, keepAlive: { restartSec: 2 } } }),
    );
    expect(await failedUp(stack)).toMatch(
      /error: nas \(.*\): SELinux keeps ssh-tunnel-nas\.service in systemd's own domain \(init_t\)/,
    );
    await nas.run("rm -r /etc/systemd/system/ssh-tunnel-nas.service.d && systemctl daemon-reload");
  });

  it("take their rule with them, and leave that of the administrator", async () => {
    await stack.destroy();
    expect(await rules()).toEqual([THEIRS]);
  });
});
