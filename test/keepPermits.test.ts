import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ourScript, runScript, shells } from "./support/shells.ts";

// The tunnel's key while the tunnel changes: the very script that travels, run on this machine in a temporary folder.

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "permits-"));
  file = join(folder, "tunnel-nas.keys");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const marker = "ssh-reverse-tunnel:owner/nas";
const listen = (port: number) => `permitlisten="127.0.0.1:${port}"`;
const open = (port: number) => `permitopen="127.0.0.1:${port}"`;
const line = (options: string[], key = "AAAA", comment = marker) =>
  `${["restrict", "port-forwarding", ...options].join(",")} ssh-ed25519 ${key} ${comment}`;

const lines = () => readFileSync(file, "utf8").split("\n").slice(0, -1);

describe.each(shells)("in %s, the key of a tunnel that changes", (_name, shell) => {
  /** Runs the script, and returns what it said. */
  const apply = (text: string, keep: boolean): string => {
    const values = {
      ACCOUNT: userInfo().username,
      FILE: file,
      LINE: text,
      MARKER: marker,
      KEEP: keep ? "yes" : "no",
    };
    const script = ourScript("authorizedKey", join(folder, "state"), values);
    const { stderr, status } = runScript(shell, script, "apply");
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("error") as string });
    return stderr;
  };
  const unchanged = "unchanged: gate: the test\n";

  test("is no other line where there was none", () => {
    apply(line([listen(2222)]), true);
    expect(lines()).toEqual([line([listen(2222)])]);
    expect(statSync(file).mode & 0o777).toBe(0o644);
  });

  test("permits the old ports and the new, each once, until it is settled", () => {
    const old = line([listen(2222), listen(8080), open(2222), open(8080)]);
    const wanted = line([listen(2222), listen(9090), open(2222), open(9090)]);
    const both = line([listen(2222), listen(9090), open(2222), open(9090), listen(8080), open(8080)]);
    apply(old, true);
    apply(wanted, true);
    expect(lines()).toEqual([both]);
    expect(apply(wanted, true)).toBe(unchanged);
    expect(apply(wanted, false)).toBe(`changed: gate: added a line to ${file}\n`);
    expect(lines()).toEqual([wanted]);
    expect(apply(wanted, true)).toBe(unchanged);
  });

  test("permits what two changes have permitted that were not settled", () => {
    [2222, 3333, 4444].forEach((port) => apply(line([listen(port)]), true));
    expect(lines()).toEqual([line([listen(4444), listen(3333), listen(2222)])]);
  });

  test("does not take a port for one that only begins or ends like it", () => {
    apply(line([listen(222), open(22223)]), true);
    apply(line([listen(2222), open(2222)]), true);
    expect(lines()).toEqual([line([listen(2222), open(2222), listen(222), open(22223)])]);
  });

  test("keeps every form of an address", () => {
    const forms = ['permitlisten="*:8080"', 'permitlisten="[fd00::2]:8443"', 'permitopen="[::1]:8443"'];
    apply(line(forms), true);
    apply(line([listen(2222)]), true);
    expect(lines()).toEqual([line([listen(2222), ...forms])]);
  });

  test("keeps no other option of the line: what is forced or restricted is as it is wanted", () => {
    apply(`command="/old/takeover",agent-forwarding,${listen(8080)} ssh-ed25519 AAAA ${marker}`, true);
    apply(line([listen(2222)]), true);
    expect(lines()).toEqual([line([listen(2222), listen(8080)])]);
  });

  test("permits another key nothing of what this one might", () => {
    apply(line([listen(8080)]), true);
    apply(line([listen(2222)], "BBBB"), true);
    expect(lines()).toEqual([line([listen(2222)], "BBBB")]);
  });

  test("takes nothing from the lines of other keys, and leaves these as they are", () => {
    const others = [line([listen(7000)], "BBBB", "alice@home"), line([listen(7001)], "CCCC", `${marker}2`)];
    writeFileSync(file, others.map((each) => `${each}\n`).join(""));
    apply(line([listen(8080)]), true);
    apply(line([listen(2222)]), true);
    expect(lines()).toEqual([...others, line([listen(2222), listen(8080)])]);
  });

  test("permits nothing that a copy of its line with another comment does, and is the only one with its key", () => {
    apply(line([listen(8080)]), true);
    writeFileSync(file, `${line([listen(7000)], "AAAA", "alice@home")}\n${lines()[0]}\n`);
    apply(line([listen(2222)]), true);
    expect(lines()).toEqual([line([listen(2222), listen(8080)])]);
  });
});
