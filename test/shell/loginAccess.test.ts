import { describe, expect, test } from "vitest";
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
  ["::ffff:127.0.0.1", "127.0.0.1"],
  ["localhost", expect.stringMatching(/^(::1\n)?127\.0\.0\.1(\n::1)?$/)],
  ["no.such.host.invalid", ""],
])("the addresses of the target %s", (target, addresses) => {
  const { stdout } = runScript(["sh"], `${readScript("loginAccess")}\naddresses_of ${target}`);
  expect(stdout.trim()).toEqual(addresses);
});

test.each([
  ["127.0.1.1", "127.0.0.1"],
  ["0.0.0.0", "127.0.0.1"],
  ["::", "::1"],
  ["192.0.2.5", "192.0.2.5"],
])("sshd is asked about a login to %s as one from %s", (target, from) => {
  const text = `${readScript("loginAccess")}
    find_account() { :; }
    find_main() { :; }
    is_other_server() { return 1; }
    find_effective() { printf %s "$2"; return 1; }
    refusal_of_login alice ${target} 22 ssh-ed25519`;
  expect(runScript(["sh"], text).stdout).toBe(from);
});

describe.each(shells)("the target of a login back, in %s,", (_name, shell) => {
  interface Target {
    /** What its name resolves to. */
    addresses?: string[];
    /** Those of which ip(8) says that they are the host's own. */
    own?: string[];
    /** The addresses from which sshd would refuse the login. */
    refused?: string[];
  }

  const look = ({
    addresses = ["192.0.2.5"],
    own = ["127.0.0.1", "192.0.2.5", "2001:db8::5"],
    refused = [],
  }: Target) => {
    const text = `HOST=nas ACCOUNT=alice MARKER=marker TARGET_PORT=22 TARGET_HOST=nas.lan
      LINE='from="127.0.0.1,::1,@target@" ssh-ed25519 AAAA marker'
      ${["messages", "loginAccess", "authorizedKey"].map(readScript).join("\n")}
      addresses_of() { printf '%s\\n' ${addresses.join(" ")}; }
      ip() { case " ${own.join(" ")} " in *" $3 "*) echo "local $3 dev lo" ;; *) echo "$3 dev eth0" ;; esac; }
      refusal_of_login() { case " ${refused.join(" ")} " in *" $2 "*) echo "sshd refuses $*" ;; esac; }
      set -eu
      suit_target
      printf '%s' "$LINE"`;
    const { stdout, stderr } = runScript(shell, text);
    return stdout === "" ? stderr : /from="127.0.0.1,::1,(.*)" ssh/.exec(stdout)?.[1];
  };
  test("is every address of its name that is this host's own", () => {
    expect(look({ addresses: ["2001:db8::5", "192.0.2.5", "192.0.2.9"] })).toBe("2001:db8::5,192.0.2.5");
    expect(look({ addresses: ["127.0.1.1"] })).toBe("127.0.1.1");
  });

  test("is refused if it is another machine, whose addresses from= could never match", () => {
    expect(look({ addresses: ["192.0.2.9", "2001:db8::9"] })).toBe(
      "error: nas: the login to 'alice' would end on another machine, since the target of its forward is nas.lan (192.0.2.9, 2001:db8::9), which is not this host; let 'target' be 127.0.0.1 or an address of this host, or name another forward in 'via', and run 'pulumi up' again\n",
    );
  });

  test("is left to the login itself if the host cannot say which addresses are its own", () => {
    expect(look({ own: [], addresses: ["192.0.2.9"] })).toBe("192.0.2.9");
  });

  test("is refused only if sshd would refuse a login from each of its addresses", () => {
    const addresses = ["192.0.2.5", "2001:db8::5"];
    const all = addresses.join(",");
    for (const refused of addresses) expect(look({ addresses, refused: [refused] })).toBe(all);
    expect(look({ addresses, refused: addresses })).toBe(
      "error: nas: sshd refuses alice 192.0.2.5 22 ssh-ed25519\n",
    );
  });
});
