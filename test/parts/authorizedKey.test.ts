import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { authorizedKey } from "../../components/parts/authorizedKey/authorizedKey.ts";
import type { AuthorizedKeyArgs } from "../../components/parts/authorizedKey/authorizedKey.ts";
import { loginKeyOptions } from "../../components/render/authorizedKeyLine.ts";
import { partOf } from "../support/partOf.ts";

const marker = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-key";
const args = () => ({
  name: "nas-key",
  account: "alice",
  publicKey: pulumi.output("ssh-ed25519 AAAA tunnel-nas@nas"),
  options: ["restrict", "pty"],
});
const valuesOf = async (changes: Partial<AuthorizedKeyArgs>) =>
  (await partOf(() => authorizedKey({ ...args(), ...changes }))).values;

describe("an authorized key", () => {
  test("is a part with the line, whose comment identifies its owner", async () => {
    expect(await partOf(() => authorizedKey(args()))).toEqual({
      script: "authorizedKey",
      values: {
        ACCOUNT: "alice",
        LINE: `restrict,pty ssh-ed25519 AAAA ${marker}`,
        MARKER: marker,
        PERMITS: "",
        TARGET_HOST: "",
        TARGET_PORT: "",
        FILE: "",
      },
    });
  });

  test("has its permits next to its line, one per line, since each of them is kept separately", async () => {
    const permits = ['permitlisten="[fd00::2]:2222"', 'permitlisten="*:@web@"', 'permitopen="127.0.0.1:*"'];
    expect(await valuesOf({ permits })).toMatchObject({
      LINE: `restrict,pty ssh-ed25519 AAAA ${marker}`,
      PERMITS: permits.join("\n"),
    });
  });

  test.each([
    "pty",
    "permitopen=127.0.0.1:22",
    'permitopen="127.0.0.1:22",pty',
    'permitopen="127.0.0.1:22"\npermitopen="*:*"',
    'permitopen="a b:22"',
    'permitopen="a,b:22"',
    'permitopen=""',
    'command="id"',
  ])("permits nothing but ports: %j", async (permit) => {
    await expect(valuesOf({ permits: [permit] })).rejects.toThrow(
      `${JSON.stringify(permit)} must be permitlisten or permitopen of one port`,
    );
  });

  test("goes into the file that the settings name, if they name one", async () => {
    expect(await valuesOf({ file: "/etc/ssh/keys/nas" })).toMatchObject({ FILE: "/etc/ssh/keys/nas" });
  });

  test("says where a login through a tunnel arrives, so that the host looks whether sshd would refuse it", async () => {
    const options = loginKeyOptions("nas.lan");
    expect(await valuesOf({ options, target: { host: "nas.lan", port: 2022 } })).toMatchObject({
      LINE: `restrict,pty,from="127.0.0.1,::1,@target@" ssh-ed25519 AAAA ${marker}`,
      TARGET_HOST: "nas.lan",
      TARGET_PORT: "2022",
    });
  });

  test("says what its name began with if it has been renamed, and nothing if it cannot be", async () => {
    const began = "nas-on.gate-login-al ice.";
    expect(await valuesOf({ otherNames: began })).toMatchObject({
      OTHER_NAMES: "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-on.gate-login-al%20ice.",
    });
    expect(await valuesOf({})).not.toHaveProperty("OTHER_NAMES");
  });

  test("has a marker without spaces, whatever it is called", async () => {
    expect(await valuesOf({ name: "my nas" })).toMatchObject({
      MARKER: "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/my%20nas",
    });
  });
});
