import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, describe, expect, test } from "vitest";
import { tunnelCheck } from "../../components/parts/tunnelCheck/tunnelCheck.ts";
import { partOf } from "../support/partOf.ts";
import { ourScript, runScript, shells } from "../support/shells.ts";
import { partText } from "../../tools/parseCommand.ts";

const ssh = "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback";
const args = { account: "tunnel-nas", forwards: [ssh], lookAt: "the journal", fingerprint: "abc" };

describe("the check of a tunnel", () => {
  test("is a part with the forwards, whether their ports are known yet or not", async () => {
    const web = "web,127.0.0.1,20345,tcp,fd00::5,80,all";
    expect(await partOf(() => tunnelCheck({ ...args, forwards: [ssh, pulumi.output(web)] }))).toEqual({
      script: "tunnelCheck",
      values: {
        ACCOUNT: "tunnel-nas",
        FORWARDS: `${ssh} ${web}`,
        SECONDS_TO_WAIT: "30",
        LOOK_AT: "the journal",
        FINGERPRINT: "abc",
      },
    });
  });

  test("waits as long as its setting says", async () => {
    const { values } = await partOf(() => tunnelCheck({ ...args, timeoutSec: 90 }));
    expect(values).toMatchObject({ SECONDS_TO_WAIT: "90" });
  });
});

// While the tunnel is down, any program on the host may be what answers there.
test.each([
  ["escapes and commands of a CI", "SSH-2.0-x\u001b[2J\u009b1m\r\n::stop-commands::x\n", "SSH-2.0-x?[2J??1m"],
  ["a line without an end", "SSH-2.0-" + "y".repeat(1_000_000), `SSH-2.0-${"y".repeat(192)}`],
])(
  "a target that answers with %s is printed as one short line of plain text",
  async (_what, banner, printed) => {
    const server = createServer((socket) => socket.on("error", () => {}).write(banner)).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const script = spawn("sh", ["-s", "--", "apply"]);
    script.stdin.end(
      partText("tunnelCheck", {
        ...{ HOST: "gate", OWNER: "p-s", STACK_ID: "", RESOURCE: "check", WHAT: "each forward works" },
        ...{
          FORWARDS: `ssh,127.0.0.1,${port},ssh,127.0.0.1,22,loopback`,
          SECONDS_TO_WAIT: "20",
          LOOK_AT: "it",
          ACCOUNT: "tunnel-nas",
        },
      }),
    );
    const [stdout, stderr] = await Promise.all([text(script.stdout), text(script.stderr)]);
    server.close();
    expect(stdout).toBe("");
    expect(stderr).toBe(
      `works: gate: forward 'ssh' on 127.0.0.1:${port}: ${printed}\nunchanged: gate: each forward works\n`,
    );
  },
);

describe.each(shells)("if nothing listens for a tunnel, its check in %s", (_name, shell) => {
  const state = mkdtempSync(join(tmpdir(), "check-"));
  afterAll(() => rmSync(state, { recursive: true }));

  /** An entry as journalctl -o export prints it. */
  const entry = (pid: number, message: string, uid = 0) =>
    `__CURSOR=s=1;i=${pid}\n_UID=${uid}\nMESSAGE=${message}\n_PID=${pid}\n\n`;

  /** What the check prints with such a journal; the tunnel's account has the user id 999, and port 1 is closed. */
  const check = (...entries: string[]) =>
    checkWith(`
    journal() { cat <<'EOT'\n${entries.join("")}EOT\n}
    journalctl() { case $*-- in *' --since -60s '*_UID=0*_UID=999*) journal ;; *' -n 1--') echo x ;; esac; }
    id() { case $* in *tunnel-nas) echo 999 ;; *) command id "$@" ;; esac; }`);

  const checkWith = (told: string) => {
    const values = {
      ACCOUNT: "tunnel-nas",
      FORWARDS: "ssh,127.0.0.1,1,ssh,127.0.0.1,22,loopback",
      ...{ SECONDS_TO_WAIT: "0", LOOK_AT: "the journal" },
    };
    const { stderr, status } = runScript(
      shell,
      `${told}\n${ourScript("tunnelCheck", state, values)}`,
      "apply",
    );
    expect(status).toBe(3);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.pop()).toBe(
      "error: gate: nothing accepts connections on 127.0.0.1:1: the forward 'ssh' did not come up in 0s; look at the journal",
    );
    return lines.map((line) => line.replace("note: gate: sshd said: ", ""));
  };

  const denied = "fatal: Access denied for user tunnel-nas by PAM account configuration [preauth]";
  const closed = (port: number) =>
    `Connection closed by authenticating user tunnel-nas 198.18.0.3 port ${port} [preauth]`;

  test("prints what sshd and PAM have said about its account, and about no other", () => {
    expect(
      check(
        entry(7, "Accepted publickey for alice from 198.18.0.9 port 4 ssh2"),
        entry(8, "pam_access(sshd:account): access denied for user `tunnel-nas' from `198.18.0.3'"),
        entry(8, denied),
        entry(9, "Invalid user tunnel-nas2 from 198.18.0.9 port 5"),
        entry(9, "error: maximum authentication attempts exceeded for my-tunnel-nas"),
      ),
    ).toEqual(["pam_access(sshd:account): access denied for user `tunnel-nas' from `198.18.0.3'", denied]);
  });

  test("prints lines that do not name the account, if its connection's process or its own wrote them", () => {
    const algorithm =
      "userauth_pubkey: signature algorithm ssh-ed25519 not in PubkeyAcceptedAlgorithms [preauth]";
    expect(check(entry(8, algorithm), entry(7, algorithm), entry(8, closed(4)))).toEqual([
      algorithm,
      closed(4),
    ]);
    const bind = "error: bind [127.0.0.1]:1: Address already in use";
    expect(check(entry(12, bind, 999), entry(13, "error: bind [127.0.0.1]:2", 998))).toEqual([bind]);
  });

  test("prints the last five, each once, however often the tunnel has tried", () => {
    const attempts = Array.from({ length: 40 }, (_, pid) => entry(pid, `attempt`) + entry(pid, closed(pid)));
    expect(check(...attempts)).toEqual(["attempt", closed(39)]);
    const many = Array.from({ length: 2000 }, (_, number) => entry(8, `tunnel-nas: ${number} x`));
    expect(check(...many)).toEqual([1995, 1996, 1997, 1998, 1999].map((number) => `tunnel-nas: ${number} x`));
  });

  test("prints short lines of plain text, whatever somebody else has chosen in them", () => {
    expect(check(entry(8, `tunnel-nas \x1b[2J ::stop ${"y".repeat(100_000)}`))).toEqual([
      `tunnel-nas ?[2J ::stop ${"y".repeat(177)}`,
    ]);
  });

  test("says that the tunnel has not tried to log in, if sshd has said nothing about it", () => {
    const nothing =
      "note: gate: sshd has said nothing about 'tunnel-nas' for 60s: the tunnel has not tried to log in";
    expect(check()).toEqual([nothing]);
    expect(check(entry(7, "Accepted publickey for alice from 198.18.0.9 port 4 ssh2"))).toEqual([nothing]);
  });

  test.each([
    ["fails", "return 1"],
    ["fails after a part of it", "printf 'MESSAGE=half'; return 1"],
    ["is not there", "command no-such-journalctl"],
    ["has no journal to read, as where the logs go elsewhere", ":"],
  ])("still ends with its own error, and claims nothing about the login, if journalctl %s", (_what, act) => {
    expect(checkWith(`journalctl() { ${act}; }`)).toEqual([
      "note: gate: what sshd said about 'tunnel-nas' is not known, since journalctl shows nothing here; look where the logs of sshd go",
    ]);
  });

  test("still ends with its own error if the account is gone", () => {
    expect(
      checkWith(
        'id() { case $* in *tunnel-nas) return 1 ;; *) command id "$@" ;; esac; }; journalctl() { :; }',
      ),
    ).toHaveLength(1);
  });
});
