import { describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells } from "../support/shells.ts";

const fakeSshd = `
sshd() { printf '%s\\n' "$said"; [ "$said" != broken ]; }
sshd_effective root`;

describe.each(shells)("the output of sshd -T is read with %s", (_, shell) => {
  const read = (said: string) =>
    runScript(shell, `said='${said}'\n${readScript("messages")}${readScript("lib")}${fakeSshd}`);

  test.each([
    ["of OpenSSH 10.0", "allowusers Root  admin\nhostkey /etc/ssh/Key"],
    ["of OpenSSH 10.6, whose keywords have capitals", "AllowUsers Root  admin\nHostKey /etc/ssh/Key"],
  ])("as keywords in lower case with unchanged values: %s", (_version, said) => {
    expect(read(said).stdout).toBe("allowusers Root  admin\nhostkey /etc/ssh/Key\n");
  });

  test("as a failure if sshd fails", () => {
    expect(read("broken")).toMatchObject({ stdout: "", status: 1 });
  });
});
