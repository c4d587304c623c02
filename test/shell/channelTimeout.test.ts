import { describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells } from "../support/shells.ts";

const scripts = (version: string) => `HOST=gate OWNER=p-s ACCOUNTS='tunnel-*'
  kind() { :; }
  ${["messages", "sshdAccess", "sshServer"].map(readScript).join("\n")}
  source_of() { echo "/etc/ssh/sshd_config.d/60.conf"; }
  ssh() { echo '${version}, OpenSSL 3.0.1' >&2; }`;

describe.each(shells)("a ChannelTimeout for everybody is read with %s", (_, shell) => {
  const warnings = (setting: string, version = "OpenSSH_9.2p1 Debian-2+deb12u7") => {
    const text = `${scripts(version)}
      ask_sshd() { printf '%s\\n' 'Port 22' '${setting}'; }
      set -eu
      warn_of_channel_timeout`;
    const { stderr, status } = runScript(shell, text);
    expect(status).toBe(0);
    return stderr;
  };

  test.each([
    ["channeltimeout *=30s", "*=30s"],
    ["ChannelTimeout session:*=1h forwarded-tcpip=10m", "forwarded-tcpip=10m"],
    ["channeltimeout forwarded-*=600", "forwarded-*=600"],
    ["channeltimeout forwarded-tcpip=0 global=10m", "global=10m"],
    ["channeltimeout *=0s global=1h", "global=1h"],
  ])("with a warning if it ends idle connections through tunnels: %s", (setting, word) => {
    expect(warnings(setting)).toBe(
      `warning: gate: sshd ends connections through tunnels that are idle, since ChannelTimeout says '${word}' in /etc/ssh/sshd_config.d/60.conf, and sshd before OpenSSH 10.5 makes no exception for tunnel accounts; let it name other types than forwarded-tcpip, for example 'session:*=10m'\n`,
    );
    expect(warnings(setting, "OpenSSH_10.0p2 Debian-7")).not.toBe("");
    expect(warnings(setting, "OpenSSH_10.4p1")).not.toBe("");
  });

  test.each([
    "channeltimeout none",
    "unusedconnectiontimeout none",
    "channeltimeout session:*=1h x11-connection=1h direct-tcpip=1h",
    "channeltimeout forwarded-tcpip=0 *=1h",
    "channeltimeout global=0 *=0",
  ])("without a word if it does not: %s", (setting) => {
    expect(warnings(setting)).toBe("");
  });

  test.each(["OpenSSH_10.5p1", "OpenSSH_10.6p1 Debian-1", "OpenSSH_11.0p1", "OpenSSH_8.4p1 Debian-5"])(
    "without a word if sshd uses ours, or knows none: %s",
    (version) => {
      expect(warnings("channeltimeout *=30s", version)).toBe("");
    },
  );
});

describe.each(shells)("the ChannelTimeout that sshd has for tunnel accounts is read with %s", (_, shell) => {
  const dropIn =
    "Match User tunnel-*\n    PermitTTY no\n    ChannelTimeout global=0 *=0\n    UnusedConnectionTimeout none";

  /** What is wrong with these settings of sshd -T, with our drop-in. */
  const refusal = (settings: string[], version = "OpenSSH_10.5p1") => {
    const effective = ["permittty no", ...settings].join("\n");
    const text = `${scripts(version)}
      DROP_IN='${dropIn}' EFFECTIVE='${effective}'
      set -eu
      other_than_ours`;
    const { stdout, stderr, status } = runScript(shell, text);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    return stdout;
  };
  const another = (keyword: string) =>
    `sshd gives the tunnel accounts another value of ${keyword} than our drop-in, since a Match before it says so; let that Match leave 'tunnel-*' out, or, where another stack wrote it, run 'pulumi up' of that one first: it is in /etc/ssh/sshd_config.d/60.conf`;

  test("as an error if that of a Match before ours ends idle connections through a tunnel", () => {
    expect(refusal(["channeltimeout *=30s"])).toBe(another("channeltimeout"));
    expect(refusal(["channeltimeout forwarded-tcpip=0 global=10m"])).toBe(another("channeltimeout"));
    expect(refusal(["channeltimeout *=1h"], "OpenSSH_11.0p1")).toBe(another("channeltimeout"));
  });

  test("without a word if it harms nothing, or if sshd does not use it", () => {
    const ours = ["unusedconnectiontimeout none", "channeltimeout global=0 *=0"];
    expect(refusal(ours)).toBe("");
    expect(refusal(["channeltimeout session:*=10m"])).toBe("");
    expect(refusal([])).toBe("");
    for (const version of ["OpenSSH_9.2p1 Debian-2", "OpenSSH_10.4p1"]) {
      expect(refusal(["channeltimeout *=30s"], version)).toBe("");
    }
  });
});
