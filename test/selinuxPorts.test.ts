import { describe, expect, test } from "vitest";
import { SelinuxPorts } from "../components/index.ts";
import { expectOneScript, ownValues } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";

describe("SELinux ports", () => {
  test("are one script with a port a line, which may install what is missing", async () => {
    expect.hasAssertions();
    const recording = await record(
      () => new SelinuxPorts("nas-selinux", { host: gate, ports: [2222, 8080] }),
    );
    expectOneScript(recording, {
      component: ["SelinuxPorts", "nas-selinux"],
      script: "selinuxPorts",
      host: "gate (198.18.0.2)",
      what: "the SELinux types of the ports",
      values: { PORTS: "2222\n8080", INSTALL_PACKAGE: "yes" },
    });
  });

  test("install nothing where that is not allowed", async () => {
    const recording = await record(
      () => new SelinuxPorts("nas-selinux", { host: gate, ports: [2222], installPackages: false }),
    );
    expect(ownValues(recording.command("nas-selinux-script").values)).toEqual({
      PORTS: "2222",
      INSTALL_PACKAGE: "no",
    });
  });
});
