import { describe, expect, test } from "vitest";
import { PublicHost } from "../../components/index.ts";
import type { NotifySettings } from "../../components/parts/notify/notify.ts";
import { notify } from "../../components/parts/notify/notify.ts";
import { renderNotifyUnit, renderTimer } from "../../components/render/systemdUnits.ts";
import { record } from "../../tools/mocks.ts";
import { installed } from "../support/expectScript.ts";
import { gate } from "../support/hosts.ts";
import { partOf } from "../support/partOf.ts";

const name = "ssh-tunnels-ssh-reverse-tunnel-dev-notify";
const programs = "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin";
const { connection } = gate;
const valuesOf = async (settings: NotifySettings) =>
  (await partOf(() => notify({ host: gate, notify: settings }))).values;

describe("notifications", () => {
  test("are a program that a timer starts, and that reads what the health check of the stack keeps", async () => {
    const description = "Notifications about the reverse SSH tunnels of ssh-reverse-tunnel-dev";
    const health = "ssh-tunnels-ssh-reverse-tunnel-dev-health";
    const command = [
      ...[`${programs}/notify`, `/etc/ssh-reverse-tunnel/${health}`, `/run/${health}`],
      ...["120", `${programs}/notify-command`],
    ];
    expect(await partOf(() => notify({ host: gate, notify: { command: "date\n" } }))).toEqual({
      script: "notify",
      values: {
        UNITS: name,
        SERVICE_UNIT: renderNotifyUnit({ description, directory: name, command }),
        TIMER_UNIT: renderTimer({ description, service: `${name}.service`, intervalSec: 15 }),
        ACCOUNT: "",
        PROGRAMS: programs,
        NOTIFY_PROGRAM: installed("notify"),
        COMMAND: "#!/bin/sh\ndate",
        FOLDER: `/etc/ssh-reverse-tunnel/${name}`,
        SECRET: "",
      },
    });
  });

  test("run as an account that systemd makes, unless the settings name one, and confined in both cases", async () => {
    const { SERVICE_UNIT: own } = await valuesOf({ command: "date" });
    const { SERVICE_UNIT: named, ACCOUNT } = await valuesOf({ command: "date", account: "alice" });
    expect(own).toMatch(/^DynamicUser=yes$/m);
    expect(named).toMatch(/^User=alice$/m);
    expect(ACCOUNT).toBe("alice");
    for (const unit of [own, named]) {
      expect(unit).toMatch(/^NoNewPrivileges=yes$/m);
      expect(unit).toMatch(/^CapabilityBoundingSet=$/m);
    }
  });

  test("take a script in another language as it is", async () => {
    expect((await valuesOf({ command: "#!/usr/bin/python3\nprint()\n" })).COMMAND).toBe(
      "#!/usr/bin/python3\nprint()",
    );
  });

  test("have a secret in a file of root's, and Pulumi encrypts the command that brings it there", async () => {
    const { SECRET, SERVICE_UNIT } = await valuesOf({ command: "date", secret: "https://x.example/?t=1" });
    expect(SECRET).toBe("https://x.example/?t=1");
    expect(SERVICE_UNIT).toContain(`\nLoadCredential=secret:/etc/ssh-reverse-tunnel/${name}/secret\n`);
    const settings = { command: "date", secret: "hush" };
    const recording = await record(() => new PublicHost("gate", { connection, notify: settings }));
    expect(recording.command("gate-notify-script").values.SECRET).toBe("hush");
    expect(recording.command("gate-notify-script").secrets).toContain("stdin");
  });

  test("are refused without an account on a host whose services may have no namespaces", async () => {
    const host = { ...gate, namespaces: false };
    await expect(partOf(() => notify({ host, notify: { command: "date" } }))).rejects.toThrow(
      "gate: notify must have an 'account'",
    );
    const { values } = await partOf(() => notify({ host, notify: { command: "date", account: "alice" } }));
    expect(values["SERVICE_UNIT"]).not.toContain("ProtectSystem");
  });

  test("are on a public host only if it has them in the settings, and nothing waits for them", async () => {
    const children = async (settings?: NotifySettings) => {
      const recording = await record(() => new PublicHost("gate", { connection, notify: settings }));
      return recording.childrenOf(recording.component("PublicHost", "gate"));
    };
    expect(await children()).not.toContain("Notify gate-notify");
    expect(await children({ command: "date" })).toContain("Notify gate-notify");
    const { result } = await record(
      () => new PublicHost("gate", { connection, notify: { command: "date" } }),
    );
    expect(result.host.after).toHaveLength(3);
  });
});
