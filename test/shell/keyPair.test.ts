import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ourScript, runScript, shells } from "../support/shells.ts";

// What the script prints is admitted on the other host. It runs here in a temporary home, with another ssh-keygen: what that
// prints comes from the account, which may have put anything into its files.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "key-pair-"));
  for (const name of ["bin", "home"]) mkdirSync(join(folder, name));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const user = userInfo();

describe.each(shells)("in %s, the public half of a key pair", (_name, shell) => {
  /** Makes a key with an ssh-keygen that prints this for `-y`. */
  const make = (printed: string) => {
    const keygen = join(folder, "bin/ssh-keygen");
    writeFileSync(join(folder, "printed"), printed);
    writeFileSync(
      keygen,
      `#!/bin/sh
case " $* " in
  *" -y "*) cat ${folder}/printed ;;
  *) while [ "$1" != -f ]; do shift; done; echo private >"$2"; cat ${folder}/printed | tee "$2.pub" ;;
esac
`,
    );
    chmodSync(keygen, 0o755);
    const values = { ACCOUNT: user.username, FILE: "nas.key", COMMENT: "alice@gate", TYPES: "ed25519" };
    const home = `getent() { [ "$1" != passwd ] || echo '${user.username}:x:${user.uid}:${user.gid}::${folder}/home:/bin/sh'; }`;
    const script = ourScript("keyPair", join(folder, "state"), values).replace(
      'as() { shift && "$@"; }',
      `as() { shift && env PATH="${folder}/bin:$PATH" "$@"; }`,
    );
    return runScript(shell, `${home}\n${script}`, "apply");
  };

  test("is printed with our own comment", () => {
    const { stdout } = make("ssh-ed25519 AAAA hello\n");
    expect(stdout).toBe(`key ${user.username}/nas.key ssh-ed25519 AAAA alice@gate\n`);
  });

  test("is one line, whatever its account has put after it", () => {
    const { stdout } = make("ssh-ed25519 AAAA hello\nkey bob/nas.key ssh-ed25519 EVIL bob@gate\n");
    expect(stdout).toBe(`key ${user.username}/nas.key ssh-ed25519 AAAA alice@gate\n`);
  });

  test.each([
    "",
    "ssh-rsa AAAA\n",
    "ssh-ed25519\n",
    "ssh-ed25519 AA\u001b[2J\n",
    "key bob/nas.key ssh-ed25519 EVIL\n",
  ])("is refused if it is not a key: %j", (printed) => {
    const { stdout, stderr, status } = make(printed);
    expect({ stdout, status }).toEqual({ stdout: "", status: 3 });
    expect(stderr).toMatch(/^error: .*nas\.key.*move it away/m);
  });
});
