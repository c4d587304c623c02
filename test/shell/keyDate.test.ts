import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells } from "../support/shells.ts";

let units: string;
beforeEach(() => {
  units = mkdtempSync(join(tmpdir(), "key-date-"));
});
afterEach(() => rmSync(units, { recursive: true, force: true }));

const checkUnit = (made: string) => `[Service]\nEnvironment=CHECK_INTERVAL=15 KEY_MADE=${made}\nType=oneshot`;

describe.each(shells)("in %s, the time at which a tunnel's key was made", (_name, shell) => {
  /** What the script writes for a key with this fingerprint, whose file has the time 200. */
  const dateOf = (fingerprint: string) => {
    const text = `SERVICE=t WATCHDOG=t-watchdog FOLDER=/x ENTRY='  IdentityFile ~/.ssh/t.key' UNIT_DIR='${units}'
      SERVICE_UNIT='# ours
# key: ${fingerprint}
[Service]' CHECK_UNIT='${checkUnit("@made@")}'
      ${readScript("tunnelService")}
      made_at() { [ "$1" = /x/t.key ] && echo 200; }
      set -eu
      date_key
      printf %s "$CHECK_UNIT"`;
    const { stdout, stderr, status } = runScript(shell, text);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    return /KEY_MADE=(.*)/.exec(stdout)?.[1];
  };
  const before = (fingerprint: string, made: string) => {
    writeFileSync(join(units, "t.service"), `# ours\n# key: ${fingerprint}\n[Service]\n`);
    writeFileSync(join(units, "t-watchdog.service"), checkUnit(made));
  };

  test("is that of its file at first, and for another key", () => {
    expect(dateOf("aaaa")).toBe("200");
    before("bbbb", "100");
    expect(dateOf("aaaa")).toBe("200");
  });

  test("stays for the same key, whatever time its account gives to the file", () => {
    before("aaaa", "100");
    expect(dateOf("aaaa")).toBe("100");
  });

  test("is that of its file if nothing was known before", () => {
    before("aaaa", "");
    expect(dateOf("aaaa")).toBe("200");
  });
});
