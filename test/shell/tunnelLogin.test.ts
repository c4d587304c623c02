import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { userInfo, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ourScript, runScript, shells } from "../support/shells.ts";

// What a change of a tunnel's files does to its connection, which its own ssh keeps until it ends.

let folder: string;
let home: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "login-"));
  home = join(folder, "home");
  for (const each of ["home/.ssh/ssh-reverse-tunnel", "units"])
    mkdirSync(join(folder, each), { recursive: true });
  for (const [place, text] of Object.entries(before)) writeFileSync(join(folder, place), `${text}\n`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const entry = (key: string, port = 22) =>
  [
    "# Managed",
    "Host ssh-tunnel-nas",
    `    Port ${port}`,
    `    IdentityFile ~/.ssh/ssh-reverse-tunnel/${key}`,
  ].join("\n");
const unit = (key: string, program = "/opt/tunnel") =>
  [`# key: ${key}`, "[Service]", `ExecStart=${program}`].join("\n");
const oldKey = "ssh-tunnel-nas ssh-ed25519 AAAAold";
const newKey = "ssh-tunnel-nas ssh-ed25519 AAAAnew";
const before: Record<string, string> = {
  "home/.ssh/ssh-reverse-tunnel/nas.conf": entry("nas.key"),
  "home/.ssh/ssh-reverse-tunnel/nas.known_hosts": oldKey,
  "units/ssh-tunnel-nas.service": unit("one"),
};

/** Functions of the library, for a home in the test's folder. */
const inFolder = () => `find_account() { FOUND_IDS=$SELF:$SELF_GROUP FOUND_HOME='${home}'; }
locate() { case $1 in "~"*) AT_PATH='${home}'/\${1#*/} ;; *) AT_PATH=$1 ;; esac; AT_IDS=$SELF:$SELF_GROUP; }
locate_target() { locate "$1"; }
label() { :; }`;

describe.each(shells)("a change of a tunnel's files in %s", (_name, shell) => {
  /** Runs a command with the functions of the script, which finds the home and the units in the test's folder. */
  const run = (command: string, values: Record<string, string> = {}) => {
    const text = ourScript("tunnelService", join(folder, "state"), {
      ...{
        ACCOUNT: userInfo().username,
        FILE: "nas",
        ALIAS: "ssh-tunnel-nas",
        FORWARDS: "",
        PROGRAMS: "/opt/bin",
      },
      ...{ ENTRY: entry("nas.key"), KEYS: oldKey, SERVICE: "ssh-tunnel-nas", SERVICE_UNIT: unit("one") },
      ...values,
    });
    const fakes = `${inFolder()}
on_trial() { return 1; }
works() { return "\${WORKS-0}"; }
UNIT_DIR='${join(folder, "units")}'
FOLDER="~$ACCOUNT/.ssh/ssh-reverse-tunnel"
each_file() {
  "$1" "$FOLDER/$FILE.known_hosts" 644 "$KEYS"
  "$1" "$FOLDER/$FILE.conf" 644 "$ENTRY"
  "$1" "$UNIT_DIR/$SERVICE.service" 644 "$SERVICE_UNIT"
  "$1" "$UNIT_DIR/$WATCHDOG.timer" 644 "\${TIMER-}"
}
`;
    return runScript(shell, text.replace(/\nmain "\$@"\n$/, `\n${fakes}${command}\n`)).stdout;
  };
  const effect = (values: Record<string, string>) =>
    run(
      'find_effect "$(each_file print_if_other)"; echo "${STAYS:-restarts} ${PROVE:-no proof}"',
      values,
    ).trim();

  test("keeps the connection, and needs a login that proves it, if only the key or the host keys differ", () => {
    expect(effect({ ENTRY: entry("nas.1234abcd.key"), SERVICE_UNIT: unit("two") })).toBe("yes yes");
    expect(effect({ KEYS: `${oldKey}\n${newKey}` })).toBe("yes yes");
  });

  test("keeps the connection without such a login if only the watchdog changes", () => {
    expect(effect({ TIMER: "new" })).toBe("yes no proof");
  });

  test.each([
    ["the address of the public host", { ENTRY: entry("nas.1234abcd.key", 2200) }],
    ["the service", { SERVICE_UNIT: unit("one", "/opt/other") }],
    ["the key of a tunnel that does not work", { ENTRY: entry("nas.1234abcd.key"), WORKS: "1" }],
  ])("restarts the tunnel if it is about %s", (_, values) => {
    expect(effect(values)).toBe("restarts no proof");
  });

  const nothing = "Connection closed by UNKNOWN port 65535";
  test.each([
    [
      "what a jump host's ssh says",
      "yes",
      `Host key verification failed.\r\n${nothing}\r`,
      "Host key verification failed",
    ],
    [
      "what to do with its key",
      "yes",
      `x: Permission denied (publickey).\r\n${nothing}\r`,
      "x: Permission denied (publickey); add it",
    ],
    ["what ssh says, if nothing else does", "yes", `${nothing}\r`, nothing],
    ["what ssh says last without one", "", `refused\r\n${nothing}\r`, nothing],
  ])("says why no login succeeds: %s", (_what, program, heard, reason) => {
    const values = { PROXY_PROGRAM: program, ADVICE: "add it", TEXT: heard };
    expect(run(`find_reason_in "$TEXT"; printf '%s' "$REASON"`, values)).toBe(reason);
  });

  test("accepts the host keys before as well until the new ones are proven, but nothing else that the file says", () => {
    const file = join(home, ".ssh/ssh-reverse-tunnel/nas.known_hosts");
    const stranger = "elsewhere ssh-ed25519 AAAA\n@cert-authority * ssh-ed25519 AAAA\n* ssh-ed25519 AAAA";
    writeFileSync(file, `${oldKey}\n${stranger}\n`);
    run("accept_both", { KEYS: newKey });
    expect(readFileSync(file, "utf8")).toBe(`${newKey}\n${oldKey}\n`);
    run("accept_both", { KEYS: newKey });
    expect(readFileSync(file, "utf8")).toBe(`${newKey}\n${oldKey}\n`);
  });
});

describe.each(shells)("the Host entry of a login whose key is replaced, in %s,", (_name, shell) => {
  const file = () => join(home, ".ssh/ssh-reverse-tunnel/nas.conf");
  /** Writes the entry, runs the command, and says which keys the entry names then. */
  const write = (key: string, then = "") => {
    const text = ourScript("clientConfig", join(folder, "state"), {
      ...{ ACCOUNT: userInfo().username, FILE: "nas.conf", ENTRY: entry(key) },
    });
    const act = `${inFolder()}
read_records
FOLDER="~$ACCOUNT/.ssh/ssh-reverse-tunnel"
own file "$FOLDER/$FILE"
KEY=$(printf '%s\\n' "$ENTRY" | sed -n 's/^ *IdentityFile .*\\///p')
keep_identity
printf '%s\\n' "$ENTRY" >'${file()}'
printf '%s\\n' "$KEYS_TO_PROVE" | sed "s/^.*$TAB//; /./!d"
${then}
`;
    const { stdout, stderr } = runScript(shell, text.replace(/\nmain "\$@"\n$/, `\n${act}`));
    expect(stderr.replaceAll(/^changed: .*\n/gm, "")).toBe("");
    const keys = [...readFileSync(file(), "utf8").matchAll(/IdentityFile .*\/(.*)/g)].map(([, name]) => name);
    return { keys, prove: stdout.trim() };
  };

  test("names the earlier key after the new one until the new one is proven", () => {
    expect(write("nas.key")).toEqual({ keys: ["nas.key"], prove: "" });
    const both = { keys: ["nas.1234abcd.key", "nas.key"], prove: "nas.1234abcd.key" };
    expect(write("nas.1234abcd.key")).toEqual(both);
    expect(write("nas.1234abcd.key")).toEqual(both);
    expect(write("nas.1234abcd.key", "sweep").keys).toEqual(["nas.1234abcd.key"]);
    expect(write("nas.1234abcd.key")).toEqual({ keys: ["nas.1234abcd.key"], prove: "" });
  });

  test("names the earlier key alone again if the change is reverted", () => {
    write("nas.key");
    write("nas.1234abcd.key");
    expect(write("nas.key")).toEqual({ keys: ["nas.key", "nas.1234abcd.key"], prove: "nas.key" });
    expect(write("nas.key", "sweep").keys).toEqual(["nas.key"]);
  });

  test("is never left without a key", () => {
    write("nas.key");
    write("nas.1234abcd.key", `printf '%s\\n' "$(sed '/1234abcd/d' '${file()}')" >'${file()}'; sweep`);
    expect(readFileSync(file(), "utf8")).toContain("/nas.key");
  });
});

describe.each(shells)("the check of a login whose key is replaced, in %s,", (_name, shell) => {
  const place = "~alice/.ssh/ssh-reverse-tunnel";
  /** What ssh says with the new key: which key the internal host accepts. */
  const check = (accepts: string, then: string) => {
    const text = ourScript("loginCheck", join(folder, "state"), {
      ...{ LOGINS: "alice,nas,ssh bob,nas,ssh", INSIDE: "nas", PATIENCE: "0", SETTLES: "keys" },
    });
    mkdirSync(join(folder, "state/owner"), { recursive: true, mode: 0o700 });
    const stale = [`file\t${place}/nas.key`, `file\t${place}/nas.key.pub`, `file\t${place}/other.key`];
    writeFileSync(
      join(folder, "state/owner/keys"),
      [...stale.map((entry) => `stale\t${entry}`), ...stale, `file\t${place}/nas.new.key`, ""].join("\n"),
      { mode: 0o600 },
    );
    const act = `${inFolder()}
hear() { HEARD='debug1: Server accepts key: /home/alice/.ssh/ssh-reverse-tunnel/${accepts} ED25519 SHA256:x explicit
subsystem request failed on channel 0'; }
is_gone() { return 1; }
undo_file() { echo "removed \${1##*/}"; }
undo_identity() { echo "no longer named \${1##*/}"; }
KEYS_TO_PROVE="$NL~alice/nas.conf\${TAB}nas.new.key$NL"
MARKED=$NL
RECORDED="\${NL}identity$TAB${place}/nas.conf$TAB    IdentityFile ~/.ssh/ssh-reverse-tunnel/nas.key$NL"
write_record() { RECORDED=$1; }
prove_keys
sweep
settle
${then}
`;
    return runScript(shell, text.replace(/\nmain "\$@"\n$/, `\n${act}`));
  };

  test("lets the earlier key go once the internal host has accepted the new one", () => {
    const { stdout } = check("nas.new.key", 'printf %s "$RECORDED"');
    expect(stdout.split("\n").filter(Boolean)).toEqual([
      "no longer named nas.key",
      "removed other.key",
      "removed nas.key.pub",
      "removed nas.key",
      `file\t${place}/nas.new.key`,
    ]);
  });

  test("keeps the earlier key of a login that gets in with that alone, sweeps all others, and fails", () => {
    const { stdout, stderr } = check("nas.key", 'printf %s "$RECORDED"; each_login_works');
    const kept = [`file\t${place}/nas.key`, `file\t${place}/nas.key.pub`];
    expect(stdout.split("\n").filter(Boolean)).toEqual([
      "removed other.key",
      ...kept.map((entry) => `stale\t${entry}`),
      ...kept,
      `file\t${place}/nas.new.key`,
    ]);
    expect(stderr).toContain(
      "'ssh nas' of 'alice' gets in with its earlier key alone, since nas refuses the new one; that stays as it is",
    );
  });
});
