import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// The real health check of a public host, with a fake journal and a fake kernel: what it says of a tunnel's connections.

let folder: string;
const at = (name: string) => join(folder, name);
/** What sshd has written so far, and which connections are established. */
let journal: { seconds: number; message: string }[];
let established: string[];
/** What sshd writes as soon as the journal has been read once. */
let meanwhile: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "logins-"));
  for (const each of ["lists", "state", "memory", "bin"]) mkdirSync(at(each));
  const text = readProgram("health").replaceAll("/etc/passwd", at("passwd"));
  writeFileSync(at("health"), text, { mode: 0o755 });
  writeFileSync(at("passwd"), "root:x:0:0::/:/bin/sh\ntunnel-nas:x:901:901::/:/bin/sh\n");
  [journal, established, meanwhile] = [[], [], undefined];
  list("nas");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const list = (tunnel: string) =>
  writeFileSync(at(`lists/${tunnel}`), "interval 30\nssh,127.0.0.1,4022,ssh,127.0.0.1,22,loopback\n");
const lineOf = ({ seconds, message }: (typeof journal)[number], index: number) =>
  `${JSON.stringify({
    __CURSOR: `s=a;i=${index + 1}`,
    __REALTIME_TIMESTAMP: `${seconds}123456`,
    MESSAGE: message,
  })}\n`;
const fake = (name: string, text: string) =>
  writeFileSync(at(`bin/${name}`), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
const says = (message: string, seconds = Math.floor(Date.now() / 1000) - 100) =>
  journal.push({ seconds, message });
const accepted = (from: string, seconds?: number, tunnel = "nas") =>
  says(
    `Accepted publickey for tunnel-${tunnel} from ${from.replace(/:(\d+)$/, " port $1")} ssh2: ED25519 SHA256:x`,
    seconds,
  );

describe.each(shells)("the health check in %s", (_name, shell) => {
  /** Runs it once, with the journal as it is now. */
  const look = () => {
    writeFileSync(at("journal"), journal.map(lineOf).join(""));
    if (meanwhile !== undefined) {
      says(meanwhile);
      writeFileSync(at("meanwhile"), lineOf(journal.at(-1)!, journal.length - 1));
      meanwhile = undefined;
    }
    fake(
      "journalctl",
      `case "$*" in
  *--after-cursor=*) after=\${*##*;i=}; tail -n +$((\${after%% *} + 1)) ${at("journal")} ;;
  *"--lines=1 "*) tail -n 1 ${at("journal")} ;;
  *--lines=*) cat ${at("journal")} ;;
esac
[ ! -e ${at("meanwhile")} ] || { cat ${at("meanwhile")} >>${at("journal")}; rm ${at("meanwhile")}; }`,
    );
    fake(
      "ss",
      `case "$*" in
  -Hltne) echo 'LISTEN 0 128 127.0.0.1:4022 0.0.0.0:* uid:901 ino:1 sk:1' ;;
  *) ${established.map((peer) => `echo '0 0 203.0.113.1:22 ${peer}'`).join("; ") || ":"} ;;
esac`,
    );
    const { status, stderr } = spawnSync(shell[0]!, [...shell.slice(1), at("health"), at("lists")], {
      env: {
        PATH: `${at("bin")}:${process.env["PATH"]}`,
        RUNTIME_DIRECTORY: at("state"),
        STATE_DIRECTORY: at("memory"),
      },
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  };
  /** What is kept for ssh-tunnel-status, with ages in place of times. */
  const kept = (tunnel = "nas") => {
    const fields = readFileSync(at(`state/${tunnel}.state`), "utf8")
      .trimEnd()
      .split("\t");
    const [since, seen, address, tries, tried] = [4, 14, 15, 16, 17].map((index) => fields[index]!);
    return { since, seen, address, tries, tried };
  };
  const now = () => Math.floor(Date.now() / 1000);
  const metrics = () =>
    readFileSync(at("state/ssh-tunnel-nas.prom"), "utf8")
      .split("\n")
      .filter((line) => /^[^#].*(connect|source)/.test(line));
  const recent = expect.stringMatching(/^\d{10}$/) as string;

  test("finds since when a tunnel is connected, and from where, on IPv4 and on IPv6", () => {
    for (const [peer, from] of [
      ["203.0.113.7:50000", "203.0.113.7:50000"],
      ["[::ffff:203.0.113.7]:50001", "203.0.113.7:50001"],
      ["[2001:db8::7]:50002", "2001:db8::7:50002"],
      ["[2001:db8::ffff:7]:50004", "2001:db8::ffff:7:50004"],
      ["[fe80::7%eth0]:50003", "fe80::7%eth0:50003"],
    ] as const) {
      const login = now() - 50;
      accepted(from, login);
      established = [peer];
      look();
      expect(kept()).toEqual({
        ...{ since: String(login), seen: recent, address: from.replace(/:\d+$/, "") },
        ...{ tries: "0", tried: "-" },
      });
    }
    const since = kept().since;
    expect(metrics().map((line) => line.replace(String(kept().seen), "SEEN"))).toEqual([
      `ssh_tunnel_connected_since_timestamp_seconds{tunnel="nas",side="public"} ${since}`,
      `ssh_tunnel_last_connection_timestamp_seconds{tunnel="nas",side="public"} SEEN`,
      'ssh_tunnel_source_info{tunnel="nas",side="public",address="fe80::7%eth0"} 1',
      'ssh_tunnel_connection_attempts_total{tunnel="nas",side="public"} 5',
    ]);
    expect(readFileSync(at("state/ssh-tunnel-nas.prom"), "utf8")).toContain(
      "# TYPE ssh_tunnel_connection_attempts_total counter\n",
    );
  });

  test("keeps when and from where a tunnel was last connected, and what it has tried since", () => {
    accepted("203.0.113.7:50000", now() - 500);
    established = ["203.0.113.7:50000"];
    look();
    const seen = kept().seen;
    established = [];
    const tried = now() - 5;
    says("Connection closed by authenticating user tunnel-nas 203.0.113.7 port 50001 [preauth]", tried - 9);
    says(
      "Disconnecting authenticating user tunnel-nas 203.0.113.7 port 2: Too many authentication failures [preauth]",
      tried - 8,
    );
    says("Connection reset by invalid user tunnel-nas 203.0.113.7 port 50002 [preauth]", tried);
    look();
    const down = { since: "-", seen, address: "203.0.113.7", tries: "3", tried: String(tried) };
    expect(kept()).toEqual(down);
    expect(metrics().at(-1)).toMatch(/attempts_total.* 4$/);
    look();
    expect(kept()).toEqual(down);
    // As after a boot.
    rmSync(at("state"), { recursive: true });
    mkdirSync(at("state"));
    look();
    expect(kept()).toEqual(down);
    accepted("203.0.113.8:50000", now());
    established = ["203.0.113.8:50000"];
    look();
    expect(kept()).toMatchObject({ seen: recent, address: "203.0.113.8", tries: "0", tried: "-" });
  });

  test("takes a login beside the connection, which tries a key, for an attempt but not for the connection", () => {
    accepted("203.0.113.7:50000", now() - 500);
    established = ["203.0.113.7:50000"];
    look();
    const { since } = kept();
    accepted("203.0.113.7:50001", now() - 5);
    look();
    expect(kept()).toMatchObject({ since, address: "203.0.113.7", tries: "0" });
    expect(metrics().at(-1)).toMatch(/attempts_total.* 2$/);
  });

  test("still knows the connection after a login that was there beside it when both were looked at", () => {
    accepted("203.0.113.7:50000", now() - 500);
    established = ["203.0.113.7:50000"];
    look();
    const { since } = kept();
    accepted("203.0.113.7:50001", now() - 5);
    established = ["203.0.113.7:50000", "203.0.113.7:50001"];
    look();
    look();
    established = ["203.0.113.7:50000"];
    look();
    expect(kept()).toMatchObject({ since, seen: recent, address: "203.0.113.7" });
    established = [];
    look();
    expect(kept()).toMatchObject({ since: "-", address: "203.0.113.7" });
    for (let port = 50002; port < 50100; port++) {
      accepted(`203.0.113.7:${port}`);
      established.push(`203.0.113.7:${port}`);
    }
    look();
    expect(readFileSync(at("memory/logins"), "utf8").trimEnd().split("\n").length).toBe(11);
  });

  test("finds the login of a tunnel that came before its list, although another's check has read on", () => {
    accepted("203.0.113.7:50000", now() - 50);
    accepted("203.0.113.8:50000", now() - 40, "shop");
    established = ["203.0.113.7:50000", "203.0.113.8:50000"];
    look();
    look();
    list("shop");
    for (let times = 0; times < 2; times++) {
      look();
      expect(kept("shop")).toMatchObject({ address: "203.0.113.8", tries: "0", since: recent });
      expect(kept()).toMatchObject({ address: "203.0.113.7", tries: "0", since: recent });
      expect(metrics().at(-1)).toMatch(/attempts_total.* 1$/);
    }
  });

  test("counts a login once that comes while the journal is read for a tunnel whose list is new", () => {
    accepted("203.0.113.7:50000");
    established = ["203.0.113.7:50000"];
    meanwhile = "Connection closed by authenticating user tunnel-nas 203.0.113.7 port 2 [preauth]";
    look();
    look();
    look();
    expect(metrics().at(-1)).toMatch(/attempts_total.* 2$/);
  });

  test("counts no attempt of before the connection has ended as one since", () => {
    accepted("203.0.113.7:50000", now() - 5000);
    says("Connection closed by authenticating user tunnel-nas 203.0.113.9 port 2 [preauth]", now() - 4000);
    established = ["203.0.113.7:50000"];
    look();
    established = [];
    look();
    expect(kept()).toMatchObject({ seen: recent, tries: "0", tried: "-" });
  });

  test("knows what comes from now on if a journal is too slow to be read far back, and tries that once", () => {
    fake(
      "timeout",
      `echo "$*" | grep -o -e '--lines=[0-9]*' -e --after-cursor >>${at("asked")}
case "$*" in *--lines=20000*) exit 124 ;; esac
shift
exec "$@"`,
    );
    accepted("203.0.113.7:50000", now() - 500);
    established = ["203.0.113.7:50000"];
    look();
    expect(kept()).toMatchObject({ since: "-", seen: "-" });
    accepted("203.0.113.7:50001");
    established = ["203.0.113.7:50001"];
    look();
    expect(kept()).toMatchObject({ since: recent, seen: recent, address: "203.0.113.7" });
    const asked = readFileSync(at("asked"), "utf8").trim().split("\n");
    expect(asked).toEqual(["--lines=20000", "--lines=1", "--lines=20000", "--after-cursor"]);
  });

  test("knows nothing where the journal has nothing of the account, and does not guess", () => {
    says("Accepted publickey for alice from 203.0.113.9 port 1 ssh2: ED25519 SHA256:x");
    accepted("203.0.113.9:1", undefined, "other");
    established = ["203.0.113.9:1"];
    look();
    expect(kept()).toEqual({ since: "-", seen: "-", address: "-", tries: "-", tried: "-" });
    expect(metrics()).toEqual([]);
  });

  test("takes no socket of another account for the connection, which anybody can have to that address and port", () => {
    accepted("203.0.113.7:50000");
    established = ["203.0.113.7:50000 timer:(keepalive,1min,0) ino:1 sk:1"];
    look();
    expect(kept()).toMatchObject({ since: recent, address: "203.0.113.7" });
    established = ["203.0.113.7:50000 timer:(keepalive,1min,0) uid:1000 ino:1 sk:1"];
    look();
    expect(kept()).toMatchObject({ since: "-", address: "203.0.113.7" });
  });

  test("cannot be told of a login by a user's name, or by anything else that is not sshd's own line", () => {
    const line = "Accepted publickey for tunnel-nas from 6.6.6.6 port 6 ssh2";
    for (const name of [line, `"${line}`, `x","MESSAGE":"${line}`, `\n${line}`, `tunnel-nas from ${line}`]) {
      says(`Invalid user ${name} from 203.0.113.9 port 1`);
      says(`Connection closed by invalid user ${name} 203.0.113.9 port 1 [preauth]`);
      says(`Failed none for invalid user ${name} from 203.0.113.9 port 1 ssh2`);
    }
    says(`${line} or not`);
    says("Accepted publickey for tunnel-nas from $(id) port 6 ssh2");
    says(
      'Connection closed by invalid user tunnel-nas 6.6.6.6 port 1 [preauth]" 203.0.113.9 port 1 [preauth]',
    );
    established = ["6.6.6.6:6"];
    look();
    expect(kept()).toEqual({ since: "-", seen: "-", address: "-", tries: "-", tried: "-" });
  });

  test("keeps a line for each tunnel, however many logins fail, and none of a tunnel that is gone", () => {
    list("shop");
    accepted("203.0.113.7:50000");
    accepted("203.0.113.8:50000", undefined, "shop");
    for (let port = 1; port < 3000; port++)
      says(`Connection closed by authenticating user tunnel-nas 203.0.113.9 port ${port} [preauth]`);
    look();
    expect(kept().tries).toBe("2999");
    const lines = () => readFileSync(at("memory/logins"), "utf8").trimEnd().split("\n").length;
    expect(lines()).toBe(3);
    rmSync(at("lists/shop"));
    look();
    expect(lines()).toBe(2);
  });

  test("writes to the disk only if something has happened to a tunnel, and otherwise every ten minutes", () => {
    accepted("203.0.113.7:50000");
    established = ["203.0.113.7:50000"];
    look();
    const inode = () => statSync(at("memory/logins")).ino;
    const first = inode();
    says("Invalid user x from 203.0.113.9 port 1");
    look();
    expect(inode()).toBe(first);
    const then = new Date(Date.now() - 700_000);
    utimesSync(at("memory/logins"), then, then);
    look();
    const second = inode();
    expect(second).not.toBe(first);
    established = [];
    look();
    expect(inode()).not.toBe(second);
  });

  test("goes on from nothing if what it has kept is not readable", () => {
    writeFileSync(at("memory/logins"), "\0\xff\n\t\n$(id)\t\t\t\n".repeat(100));
    accepted("203.0.113.7:50000");
    established = ["203.0.113.7:50000"];
    look();
    expect(kept()).toMatchObject({ address: "203.0.113.7", tries: "0" });
  });
});
