import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";

describe("if one of the internal hosts is down and Pulumi continues on errors,", () => {
  let lab: Lab;
  let gate: Host;
  let shop: Host;
  let stack: LabStack;

  beforeAll(async () => {
    lab = await Lab.up({ name: "down", hosts: ["gate", "nas", "shop"] });
    [gate, shop] = [lab.host("gate"), lab.host("shop")];
    const tunnel = (host: Host, remotePort: number) => ({
      ...labAdmin(lab, host),
      forwards: { ssh: { remotePort, target: 22 } },
      logins: [{ from: "root", to: "root" }],
    });
    stack = await openProgram(lab, {
      config: {
        publicHosts: { gate: labAdmin(lab, gate) },
        internalHosts: { nas: tunnel(lab.host("nas"), 2222), shop: tunnel(shop, 2223) },
      },
      env: { PULUMI_CONTINUE_ON_ERROR: "true" },
    });
    await shop.powerCut();
  });
  afterAll(() => Lab.clear("down"));

  it("the others come up in the same run, and the error names the host that is down", async () => {
    expect(await failedUp(stack)).toContain(`shop (${shop.address})`);
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
  });

  it("the next run does what is missing and nothing else", async () => {
    await shop.boot();
    const { changes, stdout } = await stack.up();
    expect((await gate.run("ssh shop hostname")).stdout).toBe("shop");
    expect(changes).not.toHaveProperty("update");
    expect(stdout.match(/^.*\b(nas|nas-\S+) +created/gm)).toBeNull();
  });

  it("destroy removes everything", async () => {
    await stack.destroy();
    expect((await gate.run("ls /var/lib/ssh-reverse-tunnel", { allowFailure: true })).exitCode).not.toBe(0);
  });
});
