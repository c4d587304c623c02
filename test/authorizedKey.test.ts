import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { Account, AuthorizedKey } from "../components/index.ts";
import { expectOneScript, ownValues } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";

const marker = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-key";
const args = {
  host: gate,
  account: "alice",
  publicKey: pulumi.output("ssh-ed25519 AAAA tunnel-nas@nas"),
  options: ["restrict", "pty"],
};

describe("an authorized key", () => {
  test("is one script with the line, whose comment says whose it is", async () => {
    expect.hasAssertions();
    const recording = await record(() => new AuthorizedKey("nas-key", args));
    expectOneScript(recording, {
      component: ["AuthorizedKey", "nas-key"],
      script: "authorizedKey",
      host: "gate (198.18.0.2)",
      what: "the key in authorized_keys of alice",
      values: {
        ACCOUNT: "alice",
        LINE: `restrict,pty ssh-ed25519 AAAA ${marker}`,
        MARKER: marker,
        FILE: "",
        KEEP: "no",
      },
    });
  });

  test("that keeps what it permitted is settled by another, on the record of the first", async () => {
    const recording = await record(() => {
      const key = new AuthorizedKey("nas-key", { ...args, keepPermits: true });
      new AuthorizedKey("nas-settled", { ...args, settles: key }, { dependsOn: [key] });
    });
    const first = recording.command("nas-key-script");
    const settled = recording.command("nas-settled-script");
    expect(first.values).toMatchObject({ KEEP: "yes", RESOURCE: "nas-key-script" });
    // Whatever the first kept is a reason for the second to run.
    expect(settled.values).toEqual({ ...first.values, KEEP: "no", KEPT: "" });
    expect(settled.script).toBe("authorizedKey");
    expect(settled.waitsFor).toEqual(["nas-key-script"]);
    expect([first, settled].map(({ inputs }) => "delete" in inputs)).toEqual([true, false]);
  });

  test("goes into the file that the settings name, where they name one", async () => {
    const recording = await record(
      () => new AuthorizedKey("nas-key", { ...args, file: "/etc/ssh/keys/nas" }),
    );
    expect(ownValues(recording.command("nas-key-script").values)).toMatchObject({
      FILE: "/etc/ssh/keys/nas",
    });
  });

  test("has a marker without spaces, whatever the resource is called", async () => {
    const recording = await record(() => new AuthorizedKey("my nas", args));
    expect(recording.command("my nas-script").values.MARKER).toBe(
      "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/my%20nas",
    );
  });

  test("waits for the account that it is told to wait for", async () => {
    const recording = await record(() => {
      const account = new Account("a", { host: gate, account: "x", group: "x", home: "/", shell: "/bin/sh" });
      new AuthorizedKey("nas-key", args, { dependsOn: [account] });
    });
    expect(recording.command("nas-key-script").waitsFor).toContain("a-script");
  });
});
