import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ourScript, runScript, shells } from "../support/shells.ts";

// A tunnel's key while the tunnel changes: the script as it is sent, run on this machine in a temporary folder.

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
const fixed = ["restrict", "port-forwarding"];
const line = (options: string[], key = "AAAA", comment = marker) =>
  `${[...fixed, ...options].join(",")} ssh-ed25519 ${key} ${comment}`;

const lines = () => readFileSync(file, "utf8").split("\n").slice(0, -1);

describe.each(shells)("in %s, the key of a tunnel that changes", (_name, shell) => {
  const run = (script: string, values: Record<string, string>): string => {
    const text = `sshd() { echo 'strictmodes no'; }\n${ourScript(script, join(folder, "state"), values)}`;
    const { stderr, status } = runScript(shell, text, "apply");
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("error") as string });
    return stderr;
  };

  const valuesOf = (permits: string[], { options = fixed, key = "AAAA", keeps = true } = {}) => ({
    ACCOUNT: userInfo().username,
    FILE: file,
    LINE: `${options.join(",")} ssh-ed25519 ${key} ${marker}`,
    MARKER: marker,
    PERMITS: permits.join("\n"),
    TARGET_HOST: "",
    TARGET_PORT: "",
    ...(keeps ? { STALE: "keep" } : {}),
  });

  /** Runs the script, and returns its output. */
  const apply = (...args: Parameters<typeof valuesOf>): string => run("authorizedKey", valuesOf(...args));

  /** A later stage, which sweeps what the key has kept. */
  const settle = (): string =>
    run("remotePorts", { RESOURCE: "settle", SETTLES: "resource", ACCOUNT: "root", FORWARDS: "", RANGE: "" });

  const unchanged = "unchanged: gate: the test\n";
  const took = (permit: string) => `changed: gate: took ${permit} from our line in ${file}\n`;

  test("permits its ports, in a file that its account can read but not write", () => {
    apply([listen(2222), open(2222)]);
    expect(lines()).toEqual([line([listen(2222), open(2222)])]);
    expect(statSync(file).mode & 0o777).toBe(0o644);
  });

  test("is in a file that its account can read, although somebody has changed its mode", () => {
    apply([listen(2222)]);
    chmodSync(file, 0o600);
    expect(apply([listen(2222)])).toContain(`changed: gate: gave ${file} its mode 644 and its owner back`);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(apply([listen(2222)])).toBe(unchanged);
  });

  test("permits the old ports and the new ones, each once, until the change is settled", () => {
    apply([listen(2222), listen(8080), open(2222), open(8080)]);
    const wanted = [listen(2222), listen(9090), open(2222), open(9090)];
    apply(wanted);
    const both = line([...wanted, listen(8080), open(8080)]);
    expect(lines()).toEqual([both]);
    expect(apply(wanted)).toBe(unchanged);
    expect(lines()).toEqual([both]);
    expect(settle()).toBe(took(open(8080)) + took(listen(8080)));
    expect(lines()).toEqual([line(wanted)]);
    expect([settle(), apply(wanted)]).toEqual([unchanged, unchanged]);
  });

  test("still permits the ports of two changes that were not settled", () => {
    [2222, 3333, 4444].forEach((port) => apply([listen(port)]));
    expect(lines()).toEqual([line([listen(4444), listen(2222), listen(3333)])]);
    settle();
    expect(lines()).toEqual([line([listen(4444)])]);
  });

  test("has its previous line back if its stage fails later", () => {
    apply([listen(2222), open(2222)]);
    const record = () => readFileSync(join(folder, "state/owner/resource"), "utf8");
    const before = record();
    const script = ourScript("authorizedKey", join(folder, "state"), valuesOf([listen(3333)]));
    const failing = script.replace("apply_parts() { apply; }", 'apply_parts() { apply; fail "no more"; }');
    expect(runScript(shell, failing, "apply")).toMatchObject({ stdout: "", status: 3 });
    expect(lines()).toEqual([line([listen(2222), open(2222)])]);
    expect(record()).toBe(before);
  });

  test("of a login stays beside that of its new name until that is settled, and no longer than its account may log in", () => {
    const login = (from: string, alias: string, key: string) => {
      const began = `ssh-reverse-tunnel:owner/nas-login-${from}.`;
      const named = { LINE: line([], key, began + alias), MARKER: began + alias, OTHER_NAMES: began };
      return run("authorizedKey", { ...valuesOf([]), ...named, STALE: "renamed" });
    };
    const whose = () => lines().map((text) => text.split("-login-")[1]);
    login("alice", "nas", "AAAA");
    login("alice", "again", "BBBB");
    expect(whose()).toEqual(["alice.nas", "alice.again"]);
    expect(settle()).toBe(`changed: gate: removed our line from ${file}\n`);
    expect(whose()).toEqual(["alice.again"]);
    login("alice", "third", "CCCC");
    login("bob", "nas", "DDDD");
    expect(whose()).toEqual(["bob.nas"]);
    expect(settle()).toBe(unchanged);
  });

  test("permits no old ports if its stage keeps nothing", () => {
    apply([listen(2222), open(2222)]);
    expect(apply([listen(3333)], { keeps: false })).toBe(`changed: gate: added a line to ${file}\n`);
    expect(lines()).toEqual([line([listen(3333)])]);
  });

  test.each([
    ["a port with the same beginning or end", [listen(222), listen(2222), listen(22222)]],
    ["any address", ['permitlisten="127.0.0.1:2222"', 'permitlisten="*:2222"', 'permitlisten="[::1]:2222"']],
    ["an IPv6 address", ['permitopen="[fd00::2]:8443"', 'permitopen="[fd00::22]:8443"', open(8443)]],
    ["a permit of the other kind", [open(2222), listen(2222), 'permitopen="127.0.0.1:*"']],
  ])("loses exactly the stale permit, wherever it is in the line, and not %s", (_what, permits) => {
    for (const stale of permits) {
      rmSync(file, { force: true });
      rmSync(join(folder, "state"), { recursive: true, force: true });
      // The order of an earlier version, so that the stale one is not always the last.
      apply(permits);
      const wanted = permits.filter((permit) => permit !== stale);
      apply(wanted);
      writeFileSync(file, `${line(permits)}\n`);
      expect(settle(), stale).toBe(took(stale));
      expect(lines(), stale).toEqual([line(wanted)]);
    }
  });

  test.each(["first", "middle", "last"] as const)("loses a stale option that is %s in its line", (where) => {
    apply([listen(2222)]);
    apply([listen(3333)]);
    const others = [...fixed, listen(3333)];
    const at = { first: 0, middle: 1, last: others.length }[where];
    const text = (options: string[]) => `${options.join(",")} ssh-ed25519 AAAA ${marker}\n`;
    writeFileSync(file, text(others.toSpliced(at, 0, listen(2222))));
    settle();
    expect(readFileSync(file, "utf8")).toBe(text(others));
  });

  test("keeps what a person has added to its line, and the lines around it", () => {
    apply([listen(2222), listen(8080)]);
    apply([listen(2222)]);
    const theirs = 'from="10.0.0.0/8",environment="A=b, c"';
    const [ours] = lines();
    writeFileSync(file, `# ${listen(8080)}\n${theirs},${ours}\nssh-ed25519 BBBB bob`);
    expect(settle()).toBe(took(listen(8080)));
    expect(readFileSync(file, "utf8")).toBe(
      `# ${listen(8080)}\n${theirs},${line([listen(2222)])}\nssh-ed25519 BBBB bob`,
    );
  });

  test("has nothing to lose if a person has removed the option, the line or the file", () => {
    for (const text of [`${line([listen(2222)])}\n`, "ssh-ed25519 BBBB bob\n", undefined]) {
      apply([listen(2222), listen(8080)]);
      apply([listen(2222)]);
      if (text === undefined) rmSync(file);
      else writeFileSync(file, text);
      expect(settle(), text).toBe(unchanged);
      expect(existsSync(file) ? readFileSync(file, "utf8") : undefined).toBe(text);
    }
  });

  test("keeps no other old option of the line: forced commands and restrictions are always the new ones", () => {
    apply([listen(8080)], { options: ['command="/old/evict-stale"', "agent-forwarding"] });
    apply([listen(2222)]);
    expect(lines()).toEqual([line([listen(2222), listen(8080)])]);
  });

  test("removes nothing from the lines of other keys", () => {
    const others = [line([listen(7000)], "BBBB", "alice@home"), line([listen(7001)], "CCCC", `${marker}2`)];
    writeFileSync(file, others.map((each) => `${each}\n`).join(""));
    apply([listen(8080), listen(7001)]);
    apply([listen(2222)]);
    expect(lines()).toEqual([...others, line([listen(2222), listen(8080), listen(7001)])]);
    settle();
    expect(lines()).toEqual([...others, line([listen(2222)])]);
  });

  test("permits nothing from a copy of its line with another comment, and has only one line", () => {
    apply([listen(8080)]);
    writeFileSync(file, `${line([listen(7000)], "AAAA", "alice@home")}\n${lines()[0]}\n`);
    apply([listen(2222)]);
    expect(lines()).toEqual([line([listen(2222), listen(8080)])]);
  });

  test("passes its line and its stale permits to a new key, which loses these in the same way", () => {
    apply([listen(8080)]);
    apply([listen(2222)], { key: "BBBB" });
    expect(lines()).toEqual([line([listen(2222), listen(8080)], "BBBB")]);
    settle();
    expect(lines()).toEqual([line([listen(2222)], "BBBB")]);
  });
});
