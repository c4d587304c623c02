import { expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { runScript, shells } from "../support/shells.ts";

/** What sshd says of root's login from 127.0.0.1, in each of these settings, and what that means for a key. */
const settings: [text: string, why: string][] = [
  ["", ""],
  ["pubkeyauthentication yes", ""],
  ["pubkeyauthentication no", "PubkeyAuthentication is 'no'; set it to 'yes'"],
  ["permitrootlogin yes", ""],
  ["permitrootlogin without-password", ""],
  ["permitrootlogin no", "PermitRootLogin is 'no'; set it to 'prohibit-password'"],
  ["permitrootlogin forced-commands-only", "PermitRootLogin is 'forced-commands-only'"],
  ["allowusers root", ""],
  ["allowusers alice\nallowusers root@127.0.0.0/8", ""],
  ["allowusers alice\nallowusers root@192.0.2.0/24", "AllowUsers leaves it out; add 'root@127.0.0.1'"],
  ["denyusers root@192.0.2.1", ""],
  ["denyusers *@localhost,127.*", "DenyUsers has it"],
  ["denyusers *@*,!127.0.0.1", ""],
  ["allowgroups wheel", "AllowGroups leaves out all of its groups"],
  ["denygroups ro*", "DenyGroups has one of its groups"],
  ["authenticationmethods any", ""],
  ["authenticationmethods publickey", ""],
  ["authenticationmethods password publickey,keyboard-interactive:pam", ""],
  [
    "authenticationmethods password,publickey",
    "AuthenticationMethods is 'password,publickey'; let 'publickey'",
  ],
  ["authenticationmethods keyboard-interactive", "AuthenticationMethods is 'keyboard-interactive'"],
  ["pubkeyacceptedalgorithms rsa-sha2-512,ssh-ed25519", ""],
  ["pubkeyacceptedkeytypes ssh-ed25519", ""],
  [
    "pubkeyacceptedalgorithms ssh-ed25519-cert-v01@openssh.com",
    "PubkeyAcceptedAlgorithms leaves out 'ssh-ed25519'",
  ],
  ["maxsessions 10", ""],
  ["maxsessions 0", "MaxSessions is '0'"],
];

test.each(settings)("for a login back, sshd's %j is good or has a sentence", (text, why) => {
  const plain = "permitrootlogin prohibit-password";
  const all = text.startsWith("permitrootlogin") ? text : `${text}\n${plain}`;
  const stubs = `
    values_of() { printf '%s\\n' "$EFFECTIVE" | sed -n "s/^$1 //p"; }
    source_of() { echo FILE; }
    groups_of_user() { echo root; }
    FOUND_IDS=0:0 EFFECTIVE=${shellQuote(all)}`;
  for (const [, shell] of shells) {
    const script = `${["sshdLists", "loginAccess"].map(readScript).join("\n")}\n${stubs}\nset -eu; shut_out root 127.0.0.1 localhost ssh-ed25519`;
    const { stdout, stderr, status } = runScript(shell, script);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    if (why === "") expect(stdout).toBe("");
    else expect(stdout).toMatch(new RegExp(`^${why.replace(/[*(),]/g, "\\$&")}.* in FILE$`));
  }
});

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["fd00::5", "fd00::5"],
  ["localhost", expect.stringMatching(/^(::1\n)?127\.0\.0\.1(\n::1)?$/)],
  ["no.such.host.invalid", ""],
])("the addresses of the target %s", (target, addresses) => {
  const { stdout } = runScript(["sh"], `${readScript("loginAccess")}\naddresses_of ${target}`);
  expect(stdout.trim()).toEqual(addresses);
});
