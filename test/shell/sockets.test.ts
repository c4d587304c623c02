import { describe, expect, test } from "vitest";
import { readProgram, readScript } from "../../components/remote/scriptFiles.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { runScript, shells } from "../support/shells.ts";

/** What ss(8) prints of a listener, from its address on; what that is; and which of these addresses it has the port of. */
const listeners: [what: string, line: string, listed: string, has: string][] = [
  ["one address", "127.0.0.1:22 0.0.0.0:* ino:1 sk:2 <->", "127.0.0.1 22 0", "127.0.0.1"],
  ["all of IPv4", "0.0.0.0:22 0.0.0.0:* uid:7 ino:1", "0.0.0.0 22 7", "127.0.0.1 192.0.2.1"],
  ["one of IPv6", "[::1]:22 [::]:* ino:1 v6only:1 <->", "::1 22 0", "::1"],
  ["all of IPv6", "[::]:22 [::]:* ino:1 sk:2 cgroup:/x v6only:1 <->", ":: 22 0", "::1 2001:db8::1"],
  ["both families", "*:22 *:* uid:7 ino:1 v6only:0 <->", "* 22 7", "127.0.0.1 192.0.2.1 ::1 2001:db8::1"],
  [
    "one of two families, which ss does not know",
    "[::]:22 [::]:* ino:1",
    "* 22 0",
    "127.0.0.1 192.0.2.1 ::1 2001:db8::1",
  ],
  ["an IPv4-mapped one", "[::ffff:192.0.2.1]:22 *:* v6only:0", "192.0.2.1 22 0", "192.0.2.1"],
  ["all IPv4-mapped ones", "[::ffff:0.0.0.0]:22 *:* v6only:0", "0.0.0.0 22 0", "127.0.0.1 192.0.2.1"],
  ["one of an interface", "127.0.0.1%lo:22 0.0.0.0:*", "127.0.0.1 22 0", "127.0.0.1"],
  ["all of an interface", "*%lo:22 *:* v6only:0", "* 22 0", "127.0.0.1 192.0.2.1 ::1 2001:db8::1"],
  ["those of IPv6 of an interface", "[::]%lo:22 [::]:* v6only:1", ":: 22 0", "::1 2001:db8::1"],
];
/** The programs that ss -p prints before that. */
const programs: [users: string, listed: string][] = [
  ['users:(("sshd",pid=12,fd=3)) ', "0 12 sshd"],
  ['users:(("sshd",pid=12,fd=3),("systemd",pid=1,fd=90)) uid:7 ', "7 12,1 sshd"],
  ['users:(("a b",pid=12,fd=3)) uid:7 ', "7 12 a b"],
  // Whoever runs it gives it its name, of 15 characters at most.
  ['users:(("x uid:7 y",pid=12,fd=3)) uid:9 ', "9 12 x uid:7 y"],
  ['users:(("x",pid=1,fd=",pid=12,fd=3)) uid:7 ', "0"],
  ['users:((" uid:7 "",pid=12,fd=3)) uid:9 ', "0"],
  ['users:(("\na 0 0 *:1 ",pid=12,fd=3)) uid:9 ', "0"],
  ['users:(("\nLISTEN 0 0 *:",pid=12,fd=3)) uid:9 ', "0"],
  ["uid:7 ", "7"],
  ["", "0"],
];

describe.each(shells)("the listeners of a host are read with %s", (_name, shell) => {
  const run = (line: string, command: string, texts: string[]) => {
    const ss = `ss() { printf '%s\\n' ${shellQuote(`LISTEN 0      128          ${line}`)}; }`;
    const { stdout, stderr, status } = runScript(shell, [...texts, ss, "set -eu", command].join("\n"));
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    return stdout;
  };
  const library = ["kind() { :; }", readScript("sockets"), readScript("ports")];

  test.each(listeners)("as %s", (_what, line, listed, has) => {
    expect(run(line, "list_sockets", library)).toBe(`${listed}\n`);
    const each = `list_sockets | while read -r listener _; do
      for address in 127.0.0.1 192.0.2.1 ::1 2001:db8::1; do ! overlap "$listener" $address || echo $address; done
    done`;
    expect(run(line, each, library).split("\n").filter(Boolean).join(" ")).toBe(has);
  });

  test.each(programs)("with the programs that have them: %s", (users, listed) => {
    expect(run(`127.0.0.1:22 0.0.0.0:* ${users}ino:1 sk:2`, "list_sockets -p", library).trimEnd()).toBe(
      `127.0.0.1 22 ${listed}`,
    );
  });

  // The programs on the host that judge the forwards have the same reading.
  test.each([
    ["its own for IPv6 alone", "[::]:8080 [::]:* uid:61001 v6only:1", "-", "no-listener"],
    ["its own, of which ss knows no better", "*:8080 *:* uid:61001", "-", "no-listener"],
    ["somebody else's for IPv6 alone", "[::]:8080 [::]:* uid:61002 v6only:1", "taken:61002", "no-listener"],
    ["somebody else's for both families", "*:8080 *:* uid:61002 v6only:0", "taken:61002", "taken:61002"],
    [
      "somebody else's, of which ss does not know",
      "[::]:8080 [::]:* uid:61002",
      "taken:61002",
      "taken:61002",
    ],
  ])("for a forward on all addresses, and for one on 127.0.0.1: %s", (_what, line, all, loopback) => {
    const judge = `{ printf '%s\\n' 'all 8080 61001 all' 'loopback 8080 61001 loopback' ''; list_listeners; } | judge`;
    expect(run(line, judge, [...library, readProgram("listeners")])).toBe(
      `${all} all\n${loopback} loopback\n`,
    );
  });
});

describe.each(shells)(
  "whether another server than the host's sshd listens somewhere, in %s,",
  (_name, shell) => {
    /** The host's sshd is the process 12, or runs behind a socket of systemd. */
    const isOther = (line: string, address: string, { daemon = "12", socket = false } = {}) => {
      const text = `OWNER=p-s DAEMON=${daemon}
      kind() { :; }
      ${["sockets", "ports", "sshdAccess"].map(readScript).join("\n")}
      systemctl() { ${socket}; }
      ss() { printf '%s\\n' ${shellQuote(`LISTEN 0 128 ${line}`)}; }
      set -eu
      if is_other_server ${address} 2022; then echo yes; else echo no; fi`;
      const { stdout, stderr } = runScript(shell, text);
      expect(stderr).toBe("");
      return stdout.trim();
    };
    const by = (...pids: number[]) => `users:(${pids.map((pid) => `("x",pid=${pid},fd=3)`).join(",")}) ino:1`;

    test.each([
      ["another process has its address", `127.0.0.1:2022 0.0.0.0:* ${by(34)}`, "127.0.0.1", "yes"],
      ["another process has every address", `*:2022 *:* ${by(34)} v6only:0`, "127.0.0.1", "yes"],
      ["another process has only IPv6", `[::]:2022 [::]:* ${by(34)} v6only:1`, "127.0.0.1", "no"],
      ["another process has only IPv4", `0.0.0.0:2022 0.0.0.0:* ${by(34)}`, "::1", "no"],
      [
        "another process has only IPv6, where it is asked for",
        `[::]:2022 [::]:* ${by(34)} v6only:1`,
        "::1",
        "yes",
      ],
      ["sshd itself has it", `0.0.0.0:2022 0.0.0.0:* ${by(12)}`, "127.0.0.1", "no"],
      ["systemd has it for sshd", `*:2022 *:* ${by(12, 1)} v6only:0`, "127.0.0.1", "no"],
      ["nobody knows whose it is", "0.0.0.0:2022 0.0.0.0:* ino:1", "127.0.0.1", "no"],
    ])("%s", (_what, line, address, answer) => {
      expect(isOther(line, address)).toBe(answer);
    });

    test.each([
      ["another process has it", `127.0.0.1:2022 0.0.0.0:* ${by(34)}`, "yes"],
      ["systemd has it for sshd", `*:2022 *:* ${by(1)} v6only:0`, "no"],
    ])("also behind a socket of systemd, where sshd itself does not run: %s", (_what, line, answer) => {
      expect(isOther(line, "127.0.0.1", { daemon: "", socket: true })).toBe(answer);
      expect(isOther(line, "127.0.0.1", { daemon: "" })).toBe("no");
    });
  },
);
