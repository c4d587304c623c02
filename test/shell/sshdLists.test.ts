import { describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { runScript, shells } from "../support/shells.ts";

/** What keeps a login out; alice of the groups "alice" and "domain users", from a client whose name sshd has looked up. */
function keptOut(shell: string[], settings: string, address: string, host = address): string {
  const args = ["alice", "alice\ndomain users", address, host].map(shellQuote).join(" ");
  const { stdout, stderr } = runScript(
    shell,
    `${readScript("sshdLists")}\nprintf '%s\\n' ${shellQuote(settings)} | kept_out ${args}`,
  );
  expect(stderr).toBe("");
  return stdout.trim();
}

// As sshd's match_user, match_host_and_ip and ga_match: the pattern of one entry, where the login comes from, whether the
// entry names it.
const users: [pattern: string, address: string, named: boolean][] = [
  ["alice", "192.0.2.1", true],
  ["Alice", "192.0.2.1", false],
  ["alic", "192.0.2.1", false],
  ["alicea", "192.0.2.1", false],
  ["*", "192.0.2.1", true],
  ["al*", "192.0.2.1", true],
  ["*l*c*", "192.0.2.1", true],
  ["**e", "192.0.2.1", true],
  ["a?ice", "192.0.2.1", true],
  ["alice?", "192.0.2.1", false],
  ["?????", "192.0.2.1", true],
  ["[a]lice", "192.0.2.1", false],
  ["a.ice", "192.0.2.1", false],
  ["al\\ice", "192.0.2.1", false],
  // Only a list of hosts has negations and commas.
  ["!bob", "192.0.2.1", false],
  ["bob,alice", "192.0.2.1", false],
  ["alice@192.0.2.1", "192.0.2.1", true],
  ["bob@192.0.2.1", "192.0.2.1", false],
  ["alice@192.0.2.1", "192.0.2.11", false],
  ["*@192.0.2.*", "192.0.2.11", true],
  ["alice@192.0.2.?", "192.0.2.11", false],
  ["alice@192.0.2.0/24", "192.0.2.11", true],
  ["alice@192.0.3.0/24", "192.0.2.11", false],
  ["alice@192.0.2.8/29", "192.0.2.15", true],
  ["alice@192.0.2.8/29", "192.0.2.16", false],
  ["alice@0.0.0.0/0", "192.0.2.1", true],
  ["alice@0.0.0.0/0", "2001:db8::1", false],
  ["alice@10.0.0.0/8,192.0.2.0/24", "192.0.2.1", true],
  ["alice@192.0.2.0/24,!192.0.2.66", "192.0.2.1", true],
  ["alice@192.0.2.0/24,!192.0.2.66", "192.0.2.66", false],
  ["alice@!192.0.2.66,192.0.2.0/24", "192.0.2.66", false],
  ["alice@!192.0.2.66", "192.0.2.1", false],
  ["alice@*,!192.0.2.64/26", "192.0.2.66", false],
  ["alice@2001:db8::1", "2001:db8::1", true],
  ["alice@2001:DB8:0:0::1", "2001:db8::1", true],
  ["alice@2001:db8::/32", "2001:db8:1::2", true],
  ["alice@2001:db8::/32", "2001:db9::1", false],
  ["alice@2001:db8::/33", "2001:db8:8000::1", false],
  ["alice@::1", "::1", true],
  ["alice@fe80::/10", "fe80::1%eth0", true],
  ["alice@::/0", "2001:db8::1", true],
  ["alice@office@192.0.2.1", "192.0.2.1", false],
];

describe.each(shells)("sshd's lists of whom it lets in are read with %s:", (_, shell) => {
  test.each(users)("AllowUsers and DenyUsers %s, from %s: %s", (pattern, address, named) => {
    expect(keptOut(shell, `allowusers ${pattern}`, address)).toBe(named ? "" : "allowusers");
    expect(keptOut(shell, `denyusers ${pattern}`, address)).toBe(named ? "denyusers" : "");
  });

  test("the client's name counts as well as its address, in capitals or not", () => {
    const from = (pattern: string) => keptOut(shell, `allowusers ${pattern}`, "192.0.2.1", "pc.Example.org");
    expect(from("alice@*.example.ORG")).toBe("");
    expect(from("alice@192.0.2.0/24")).toBe("");
    expect(from("alice@*.example.com")).toBe("allowusers");
    expect(from("alice@192.0.2.0/24,!*.example.org")).toBe("allowusers");
  });

  test("where the client's address is not known, a pattern with a host keeps nobody out", () => {
    expect(keptOut(shell, "allowusers alice@192.0.2.1", "")).toBe("");
    expect(keptOut(shell, "denyusers alice@192.0.2.1", "")).toBe("");
    expect(keptOut(shell, "denyusers *@*", "")).toBe("denyusers");
    expect(keptOut(shell, "allowusers bob@192.0.2.1", "")).toBe("allowusers");
  });

  test.each([
    ["alice", true],
    ["domain users", true],
    ["domain*", true],
    ["d?main users", true],
    ["domain", false],
    ["users", false],
    ["!bob", false],
    ["alice@192.0.2.1", false],
  ])("AllowGroups and DenyGroups %s: %s", (pattern, named) => {
    expect(keptOut(shell, `allowgroups ${pattern}`, "192.0.2.1")).toBe(named ? "" : "allowgroups");
    expect(keptOut(shell, `denygroups ${pattern}`, "192.0.2.1")).toBe(named ? "denygroups" : "");
  });

  test("one entry that names the login is enough, and what denies it comes first", () => {
    const kept = (...lines: string[]) => keptOut(shell, ["port 22", ...lines].join("\n"), "192.0.2.1");
    expect(kept("allowusers bob", "allowusers alice")).toBe("");
    expect(kept("denyusers bob", "denyusers alice", "allowusers alice")).toBe("denyusers");
    expect(kept("allowgroups wheel", "allowgroups alice")).toBe("");
    expect(kept("allowgroups alice", "denygroups alice")).toBe("denygroups");
    expect(kept("allowgroups wheel", "allowusers bob")).toBe("allowusers");
    expect(kept("allowgroups wheel", "allowusers alice")).toBe("allowgroups");
    expect(kept()).toBe("");
  });
});
