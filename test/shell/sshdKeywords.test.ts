import { describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells } from "../support/shells.ts";

const fakeSshd = `
sshd() { printf '%s\\n' "$said"; [ "$said" != broken ]; }
sshd_effective root`;

describe.each(shells)("the output of sshd -T is read with %s", (_, shell) => {
  const read = (said: string) =>
    runScript(shell, `said='${said}'\n${readScript("messages")}${readScript("sshd")}${fakeSshd}`);

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

describe.each(shells)("the command line of the sshd that runs is read with %s", (_, shell) => {
  const optionsOf = (line: string) =>
    runScript(shell, `${readScript("sshd")}\nprintf '${line.replaceAll("\0", "\\000")}' | lasting_options`)
      .stdout;

  test.each([
    ["without options", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", ""],
    ["as sshd was started", "/usr/sbin/sshd\0-D\0-p\x002222\0", "-p\n2222\n"],
    [
      "with ports",
      "sshd: /usr/sbin/sshd -D -p 2222 -p2223 [listener] 0 of 10-100 startups",
      "-p\n2222\n-p\n2223\n",
    ],
    [
      "with another file",
      "sshd: /usr/sbin/sshd -Df /etc/ssh/sshd_other [listener] 0 of 10-100",
      "-f\n/etc/ssh/sshd_other\n",
    ],
    ["for IPv4 only", "sshd: /usr/sbin/sshd -D4e [listener] 0 of 10-100 startups", "-4\n"],
    [
      "with settings that have spaces",
      "sshd: sshd -D -o AllowUsers a b -oPort=23 -o Ciphers -3des-cbc -o X=y -E /log [listener] 1 of 10-100",
      "-o\nAllowUsers a b\n-o\nPort=23\n-o\nCiphers -3des-cbc\n-o\nX=y\n",
    ],
    ["without what a check cannot use", "sshd: sshd -D -u0 -g 60 -C x -p 24 [listener] 0 of", "-p\n24\n"],
  ])("%s", (_what, line, options) => {
    expect(optionsOf(line)).toBe(options);
  });
});
