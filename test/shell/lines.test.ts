import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runScript, testScript } from "../support/shells.ts";

// One line of ours in a file that belongs to somebody else: the library as it is sent, run on this machine in a
// temporary folder.

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lines-"));
  file = join(folder, "authorized_keys");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Line {
  /** The resource that it belongs to. */
  resource: string;
  text: string;
  /** For a line of authorized_keys; empty: the line is found again by its full text. */
  key: string;
  marker: string;
}

/** A line of authorized_keys, which is found again by its key and by its comment. */
const key = (resource: string, options = "restrict", blob = `AAAA${resource}`): Line => ({
  resource,
  text: `${options},permitlisten="127.0.0.1:2222" ssh-ed25519 ${blob} ssh-reverse-tunnel:dev/${resource}`,
  key: blob,
  marker: `ssh-reverse-tunnel:dev/${resource}`,
});

/** A line of ~/.ssh/config, which several resources need. */
const include = (resource: string): Line => ({
  resource,
  text: "Include ssh-reverse-tunnel/*.conf",
  key: "",
  marker: "",
});

/** Runs the script, and returns its output. Fails the test if it fails. */
function run(verb: "apply" | "remove", { resource, text, key, marker }: Line): string {
  const values = { RESOURCE: resource, FILE: file, LINE: text, KEY: key, MARKER: marker };
  const script = testScript("addLine", join(folder, "state"), values);
  const { stderr, status } = runScript(["sh"], script, verb);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("error") as string });
  return stderr;
}

/** The file's bytes; undefined if it does not exist. */
const bytes = (): string | undefined => (existsSync(file) ? readFileSync(file, "latin1") : undefined);

const put = (content: string | undefined): void => {
  rmSync(join(folder, "state"), { recursive: true, force: true });
  rmSync(file, { force: true });
  if (content !== undefined) {
    writeFileSync(file, content, "latin1");
  }
};

/** The content after our lines were added at the end. */
const withLines = (old = "", ...lines: Line[]): string =>
  old + (old === "" || old.endsWith("\n") ? "" : "\n") + lines.map(({ text }) => `${text}\n`).join("");

const unchanged = "unchanged: gate: the test\n";

/** Nothing of ours except the file: no temporary file, no record. */
const expectNoTrace = (): void => {
  const { stdout } = runScript(["sh"], `cd '${folder}' && ls -A`);
  expect(stdout).toBe(existsSync(file) ? "authorized_keys\n" : "");
};

const piece = fc.oneof(
  fc.constantFrom(
    "\n",
    "\r\n",
    "\n\n",
    "#",
    " ",
    "\t",
    "ssh-ed25519 AAAA alice@home",
    "\\",
    "\xff\xfe",
    "\r",
  ),
  fc.uint8Array({ min: 1, maxLength: 12 }).map((odd) => Buffer.from(odd).toString("latin1")),
);
/** No file, an empty one, and any bytes but NUL, with and without a newline at the end. */
const existing = fc.option(
  fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("")),
  { nil: undefined, freq: 8 },
);

// Each run starts a shell for each step. Set SEED and RUNS in the environment for a longer search by hand.
const few = (numRuns: number) => ({
  seed: Number(process.env.SEED ?? 20260101),
  numRuns: Number(process.env.RUNS ?? numRuns),
});
const slow = { timeout: 60_000 };

describe("a key in authorized_keys", () => {
  test("is added at the end, is found again, and leaves the rest as it was byte for byte", slow, () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(existing, (old) => {
        put(old);
        expect(run("apply", key("a"))).toBe(`changed: gate: added a line to ${file}\n`);
        expect(bytes()).toBe(withLines(old, key("a")));
        expect(run("apply", key("a"))).toBe(unchanged);
        expect(bytes()).toBe(withLines(old, key("a")));
        run("remove", key("a"));
        expect(bytes()).toBe(old);
        expectNoTrace();
      }),
      few(14),
    );
  });

  test("may be one of two, which can be added and removed in any order", slow, () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(existing, fc.boolean(), (old, firstInFirstOut) => {
        put(old);
        run("apply", key("a"));
        run("apply", key("b"));
        expect(bytes()).toBe(withLines(old, key("a"), key("b")));
        expect(run("apply", key("a"))).toBe(unchanged);
        const [first, last] = firstInFirstOut ? [key("a"), key("b")] : [key("b"), key("a")];
        run("remove", first);
        expect(bytes()).toBe(withLines(old, last));
        run("remove", last);
        expect(bytes()).toBe(old);
        expectNoTrace();
      }),
      few(10),
    );
  });

  test("is replaced in its place when its options change", slow, () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(existing, (old) => {
        put(old);
        run("apply", key("a"));
        run("apply", key("b"));
        run("apply", key("a", "restrict,pty"));
        expect(bytes()).toBe(withLines(old, key("a", "restrict,pty"), key("b")));
        run("remove", key("b"));
        run("remove", key("a", "restrict,pty"));
        expect(bytes()).toBe(old);
        expectNoTrace();
      }),
      few(6),
    );
  });

  test("does not remove what others wrote after it in the meantime", () => {
    put("old");
    run("apply", key("a"));
    writeFileSync(file, `${bytes()}new`, "latin1");
    run("remove", key("a"));
    expect(bytes()).toBe("old\nnew");
  });

  test("that somebody removed by hand is added again", () => {
    put("old");
    run("apply", key("a"));
    writeFileSync(file, "old");
    run("apply", key("a"));
    expect(bytes()).toBe(withLines("old", key("a")));
    run("remove", key("a"));
    expect(bytes()).toBe("old");
  });

  test("that somebody removed by hand, with the file, can be removed without an error", () => {
    put(undefined);
    run("apply", key("a"));
    rmSync(file);
    expect(run("remove", key("a"))).not.toContain("error");
    expect(bytes()).toBeUndefined();
    expectNoTrace();
  });

  test("leaves the file's mode as it is, and creates a new file for its owner only", () => {
    put("old\n");
    chmodSync(file, 0o640);
    run("apply", key("a"));
    expect(statSync(file).mode & 0o777).toBe(0o640);
    put(undefined);
    run("apply", key("a"));
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("leaves the file with its original time, whichever of two lines is removed first", () => {
    for (const [first, last] of [
      [key("a"), key("b")],
      [key("b"), key("a")],
    ] as const) {
      put("old");
      const then = new Date("2020-02-02T02:02:02.123Z");
      utimesSync(file, then, then);
      run("apply", key("a"));
      run("apply", key("b"));
      run("apply", key("a", "restrict,pty"));
      run("remove", first);
      expect(statSync(file).mtime).not.toEqual(then);
      run("remove", last);
      expect(statSync(file).mtime).toEqual(then);
      expectNoTrace();
    }
  });

  test("has the same record after a second apply as after the first, if it created the file itself", () => {
    const record = () => readFileSync(join(folder, "state/owner/a"), "utf8");
    run("apply", key("a"));
    const first = record();
    run("apply", key("b"));
    run("apply", key("a"));
    expect(record()).toBe(first);
    expect(first).not.toContain("time\t");
  });

  test("does not restore the time of a file that somebody has changed since", () => {
    put("old\n");
    const then = new Date("2020-02-02T02:02:02.123Z");
    utimesSync(file, then, then);
    run("apply", key("a"));
    writeFileSync(file, `new\n${bytes()}`, "latin1");
    run("remove", key("a"));
    expect(bytes()).toBe("new\nold\n");
    expect(statSync(file).mtime.getTime()).toBeGreaterThan(then.getTime());
  });

  test("follows a symbolic link, which stays a link", () => {
    put(undefined);
    mkdirSync(join(folder, "real"));
    writeFileSync(join(folder, "real", "keys"), "old");
    symlinkSync("real/keys", file);
    run("apply", key("a"));
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(bytes()).toBe(withLines("old", key("a")));
    run("remove", key("a"));
    expect(bytes()).toBe("old");
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
  });

  const edits: [string, (line: string) => string][] = [
    ["its comment was edited", (line) => line.replace(/ssh-reverse-tunnel:.*/, "the NAS")],
    ["its comment was removed", (line) => line.replace(/ ssh-reverse-tunnel:.*/, "")],
    ["its options were changed", (line) => line.replace(/^\S+/, 'from="10.0.0.0/8",environment="A=b c"')],
    ["its options were removed", (line) => line.replace(/^\S+ /, "")],
    ["it was copied", (line) => `${line}\n${line}`],
    ["it was copied above itself without options", (line) => `${line.replace(/^\S+ /, "")}\n${line}`],
    ["the file was saved with CRLF", (line) => `${line}\r`],
    ["it was indented, and got spaces at its end", (line) => `\t ${line} \t`],
    ["it lost its comment in a file with CRLF", (line) => `${line.replace(/ ssh-reverse-tunnel:.*/, "")}\r`],
  ];

  test.each(edits)(
    "no longer admits anyone after a removal if %s, and the rest of the file stays",
    (_how, edit) => {
      const others = "# ssh-ed25519 AAAAa is theirs\nssh-ed25519 AAAAab bob\n";
      put(others);
      run("apply", key("a"));
      writeFileSync(file, `${bytes()!.replace(key("a").text, edit)}ssh-ed25519 AAAAb carol\n`, "latin1");
      run("remove", key("a"));
      expect(bytes()).toBe(`${others}ssh-ed25519 AAAAb carol\n`);
      expectNoTrace();
    },
  );

  test.each(edits)("is the only line with its key after an apply if %s", (_how, edit) => {
    put("ssh-ed25519 AAAAab bob\n");
    run("apply", key("a"));
    writeFileSync(file, bytes()!.replace(key("a").text, edit), "latin1");
    run("apply", key("a"));
    expect(bytes()).toBe(withLines("ssh-ed25519 AAAAab bob\n", key("a")));
    expect(run("apply", key("a"))).toBe(unchanged);
  });

  test("replaces an earlier key, of which no copy stays", () => {
    put(undefined);
    run("apply", key("a", "restrict", "AAAAold"));
    writeFileSync(file, `ssh-ed25519 AAAAold copied\n${bytes()}`, "latin1");
    run("apply", key("a", "restrict", "AAAAnew"));
    expect(bytes()).toBe(withLines("", key("a", "restrict", "AAAAnew")));
    run("remove", key("a", "restrict", "AAAAnew"));
    expect(bytes()).toBeUndefined();
    expectNoTrace();
  });

  test.each(["apply", "remove"] as const)(
    "that is in the file more than a hundred times ends the %s, which would take too long",
    (verb) => {
      put("");
      run("apply", key("a"));
      const copies = `${key("a").text}\n\n`.repeat(101);
      writeFileSync(file, copies);
      const { resource, text: LINE, key: KEY, marker: MARKER } = key("a", "no-pty");
      const values = { RESOURCE: resource, FILE: file, LINE, KEY, MARKER };
      const script = testScript("addLine", join(folder, "state"), values);
      const { stderr, status } = runScript(["sh"], script, verb);
      expect({ status, stderr }).toEqual({
        status: 3,
        stderr: `error: gate: ${file} has more than 100 lines with our key or our comment; delete these lines and run 'pulumi up' again\n`,
      });
      expect(bytes()).toBe(copies);
    },
  );

  test("has nothing to remove if it was never added", () => {
    put("old");
    expect(run("remove", key("a"))).toBe(unchanged);
    expect(bytes()).toBe("old");
  });
});

describe("an Include in ~/.ssh/config", () => {
  test("is added at the top, once for all who need it, and removed with the last of them", slow, () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(existing, fc.boolean(), (old, firstInFirstOut) => {
        put(old);
        const added = `${include("a").text}\n${old ?? ""}`;
        run("apply", include("a"));
        expect(bytes()).toBe(added);
        expect(run("apply", include("b"))).toBe(unchanged);
        expect(bytes()).toBe(added);
        const [first, last] = firstInFirstOut ? ["a", "b"] : ["b", "a"];
        run("remove", include(first));
        expect(bytes()).toBe(added);
        run("remove", include(last));
        expect(bytes()).toBe(old);
        expectNoTrace();
      }),
      few(8),
    );
  });

  test("stays after a removal if it existed before us", () => {
    const old = `Host x\n${include("a").text}\n`;
    put(old);
    expect(run("apply", include("a"))).toBe(unchanged);
    run("remove", include("a"));
    expect(bytes()).toBe(old);
    expectNoTrace();
  });
});

describe("a file name that the record cannot hold", () => {
  test.each(["a\nb", "\nfile\t/etc/passwd", "a\t", "a\tb"])("is refused and left alone: %j", (name) => {
    const path = join(folder, name.replaceAll("/", "_"));
    writeFileSync(path, "old");
    const { resource, text, key: blob, marker } = key("a");
    const values = { RESOURCE: resource, FILE: path, LINE: text, KEY: blob, MARKER: marker };
    const script = testScript("addLine", join(folder, "state"), values);
    const { stderr, status } = runScript(["sh"], script, "apply");
    expect({ status, stderr }).toEqual({
      status: 3,
      stderr: expect.stringContaining("which the record of what was done cannot hold") as string,
    });
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(existsSync(join(folder, "state"))).toBe(false);
  });

  test("is not one with spaces, quotes or anything else that a shell would interpret", () => {
    file = join(folder, ` -n $(touch x) \`y\` * 'a' "b" \\ ü\u2028 %n`);
    put("old");
    run("apply", key("a"));
    expect(bytes()).toBe(withLines("old", key("a")));
    run("remove", key("a"));
    expect(bytes()).toBe("old");
  });
});
