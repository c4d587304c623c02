import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rootShells } from "../../components/remote/rootShell.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { sometimes } from "./support/sample.ts";
import { tunnelSettings } from "./support/settings.ts";
import { partText } from "../../tools/parseCommand.ts";

const [PLAIN, FULL_PATHS, WITH_TERMINAL] = rootShells;
const ALL = "admin ALL=(ALL) NOPASSWD: ALL";

let lab: Lab;
let gate: Host;
let nas: Host;

beforeAll(async () => {
  lab = await Lab.up({ name: "sudo", hosts: ["gate", "nas"] });
  [gate, nas] = [lab.host("gate"), lab.host("nas")];
});

afterAll(() => Lab.clear("sudo"));

/** Replaces the host's rules for admin with these lines, and makes the login shell of admin begin with `shell`. */
async function setSudo(host: Host, rules: string[], shell = ""): Promise<void> {
  const rulesFile = "cat >/etc/sudoers.d/admin && chmod 440 /etc/sudoers.d/admin && visudo -qc";
  await host.run(`${rulesFile} && echo ${shellQuote(shell)} >/home/admin/.bashrc`, {
    input: ["Defaults !admin_flag", ...rules, ""].join("\n"),
  });
}

/** Runs a command line on gate as admin, over the network, as the provider does. */
const asAdmin = (command: string, input: string) =>
  exec("ssh", ["-F", lab.sshConfigFile, "-l", "admin", "gate", command], { input, allowFailure: true });

/** The check of gate, as it is sent. */
const look = () =>
  asAdmin(
    "/bin/sh -s -- apply",
    partText("hostFacts", {
      HOST: "gate",
      OWNER: "p-s",
      RESOURCE: "facts",
      WHAT: "the host can be managed",
      NEEDS_SERVER: "yes",
      ROOT_SHELLS: rootShells.join("\n"),
    }),
  );

describe("the check of a host finds a way to become root", () => {
  it.each([
    ["if any command needs no password", PLAIN, [ALL]],
    ["if only a shell needs no password", PLAIN, ["admin ALL=(root) NOPASSWD: /bin/sh"]],
    [
      "if sudo clears the environment and creates its own terminals",
      PLAIN,
      ["Defaults env_reset, use_pty", ALL],
    ],
    [
      "if sudo creates no terminals and opens no session",
      PLAIN,
      ["Defaults !use_pty, !pam_session, !pam_setcred", ALL],
    ],
    ["if sudo logs all input and output", PLAIN, ["Defaults log_input, log_output, iolog_dir=/run/io", ALL]],
    ["if secure_path is short", PLAIN, ["Defaults secure_path=/usr/bin", ALL]],
    ["if secure_path leads to no shell", FULL_PATHS, ["Defaults secure_path=/opt/bin", ALL]],
    ["if the admin's PATH is short", PLAIN, [ALL], "PATH=/usr/bin:/bin"],
    ["if the admin's PATH leads nowhere", FULL_PATHS, [ALL], "PATH=/opt/bin"],
    ["if sudo requires a terminal", WITH_TERMINAL, ["Defaults requiretty", ALL]],
    [
      "if sudo requires a terminal and everything else is unusual",
      WITH_TERMINAL,
      ["Defaults requiretty, use_pty, log_input, log_output, iolog_dir=/run/io, secure_path=/opt/bin", ALL],
      "PATH=/opt/bin; SHELL=/bin/false",
    ],
  ])("%s", async (_where, expected, rules, shell?: string) => {
    await setSudo(gate, rules, shell);
    const { stdout, stderr, exitCode } = await look();
    expect({ stderr, exitCode }).toEqual({ stderr: "unchanged: gate: the host can be managed", exitCode: 0 });
    const [way, ...keys] = stdout.split("\n");
    expect(way).toBe(`root-shell ${expected}`);
    expect(keys).toContain(gate.hostKey);
    // And that way loses and changes nothing: neither the script nor its output and exit status.
    const filler = `# ${"x".repeat(70)}\n`.repeat(3_000);
    const text = "one\ntwo \\r\t\u0004\u001b[31mé\n".repeat(2_000);
    const script = `main() { exec </dev/null; printf %s "$TEXT"; echo "$1 $(/usr/bin/id -u)" >&2; exit 7; }\n${filler}TEXT='${text}'\nmain "$@"\n`;
    const run = await asAdmin(`${expected} remove`, script);
    expect(sum(run.stdout)).toBe(sum(text.trimEnd()));
    expect(run).toMatchObject({ stderr: "remove 0", exitCode: 7 });
  });
});

describe("the check of a host reports what is needed if there is no way to become root", () => {
  const sudoers = "add 'admin ALL=(ALL) NOPASSWD: ALL' to a file in /etc/sudoers.d, or let root be the admin";
  const noTerminal =
    "sudo wants a terminal here (requiretty), which only the command 'script' could give it, and that is missing or fails; install it (bsdutils or util-linux), or add 'Defaults:admin !requiretty' to a file in /etc/sudoers.d";

  it.each([
    ["if there is no rule", [], `the admin 'admin' may not use sudo without a password; ${sudoers}`],
    [
      "if the rule requires a password",
      ["admin ALL=(ALL) ALL"],
      `the admin 'admin' may not use sudo without a password; ${sudoers}`,
    ],
    [
      "if the rule requires a password, and sudo requires a terminal",
      ["Defaults requiretty", "admin ALL=(ALL) ALL"],
      `the admin 'admin' may not use sudo without a password; ${sudoers}`,
    ],
    [
      "if the rule allows other commands only",
      ["admin ALL=(ALL) ALL", "admin ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/journalctl"],
      `the admin 'admin' may not start a shell as root with sudo, which allows without a password only (root) /usr/bin/systemctl, /usr/bin/journalctl; ${sudoers}`,
    ],
    [
      "if the rule allows a shell that may not start programs",
      ["admin ALL=(ALL) NOEXEC: NOPASSWD: ALL"],
      `the admin 'admin' may not start a shell as root with sudo, which allows without a password only (ALL) NOEXEC: ALL; ${sudoers}`,
    ],
    [
      "if the rule is for an account other than root",
      ["admin ALL=(alice) NOPASSWD: ALL"],
      `the admin 'admin' may not start a shell as root with sudo, which allows without a password only (alice) ALL; ${sudoers}`,
    ],
  ])("%s", async (_where, rules, sentence) => {
    await setSudo(gate, rules);
    const { stdout, stderr, exitCode } = await look();
    expect({ stdout, stderr, exitCode }).toEqual({
      stdout: "",
      stderr: `error: gate: ${sentence}`,
      exitCode: 3,
    });
  });

  it("if sudo requires a terminal and nothing can provide one, and goes on once that rule exists", async () => {
    await setSudo(gate, ["Defaults requiretty", ALL]);
    await gate.run("mv /usr/bin/script /usr/bin/script.away");
    expect((await look()).stderr).toBe(`error: gate: ${noTerminal}`);
    await setSudo(gate, ["Defaults requiretty", ALL, "Defaults:admin !requiretty"]);
    expect((await look()).stdout).toContain(`root-shell ${PLAIN}`);
    await gate.run("mv /usr/bin/script.away /usr/bin/script");
  });

  it("if sudo itself is broken", async () => {
    await setSudo(gate, [ALL]);
    await gate.run("chmod u-s /usr/bin/sudo");
    const { stderr } = await look();
    await gate.run("chmod u+s /usr/bin/sudo");
    expect(stderr).toMatch(
      /^error: gate: the admin 'admin' cannot become root, since sudo says 'sudo: .*setuid bit set'; repair that, or let root be the admin$/,
    );
  });
});

sometimes.describe(
  "with admins on both hosts whose sudo needs more than usual, and whose shells print greetings",
  () => {
    let stack: LabStack;
    let before: Record<string, Snapshot>;
    const settings = (server: Record<string, unknown> = {}) => {
      const { publicHosts, internalHosts } = tunnelSettings(lab, gate, nas) as Record<
        string,
        Record<string, { admin: Record<string, unknown> }>
      >;
      publicHosts!.gate!.admin.user = "admin";
      Object.assign(publicHosts!.gate!, server);
      internalHosts!.nas!.admin.user = "admin";
      return { publicHosts, internalHosts };
    };

    beforeAll(async () => {
      const greeting = "echo 'Welcome to this host!'; echo";
      await setSudo(gate, ["Defaults requiretty, secure_path=/opt/bin", ALL], `PATH=/opt/bin; ${greeting}`);
      await setSudo(
        nas,
        ["Defaults env_reset, use_pty, secure_path=/opt/bin", ALL],
        `PATH=/usr/bin:/bin; ${greeting}`,
      );
      before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
      stack = await openProgram(lab, { config: settings() });
    });

    it("up succeeds, and uses the longer ways to become root only if it must", async () => {
      const { changes } = await stack.up();
      expect(Object.keys(changes)).toEqual(["create"]);
      expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
      expect(await commandLines(stack)).toEqual({
        gate: [`${WITH_TERMINAL} apply`, "/bin/sh -s -- apply"],
        nas: ["/bin/sh -s -- apply", `${FULL_PATHS} apply`],
      });
    });

    it("a second up changes nothing", async () => {
      expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
    });

    it("a change to sshd that would lock out the admin, by the address of the admin, is refused", async () => {
      const own = "/etc/ssh/sshd_config.d/50-own.conf";
      const runner = gate.address.replace(/\d+$/, "1");
      await gate.run(`printf 'Match Address ${runner}\\n    DenyUsers admin\\n' >${own}`);
      await stack.setConfig(settings({ clientAliveIntervalSec: 20 }));
      expect(await failedUp(stack)).toContain(
        "DenyUsers would lock out the admin 'admin' at the next reload",
      );
      await gate.run(`rm ${own}`);
    });

    it("destroy leaves nothing", async () => {
      await stack.destroy();
      expect(await leftovers(gate, before.gate!)).toEqual([]);
      expect(await leftovers(nas, before.nas!)).toEqual([]);
    });
  },
);

const sum = (text: string) => createHash("sha256").update(text).digest("hex");

/** The different command lines of a stack's scripts, by host, sorted. */
async function commandLines(stack: LabStack): Promise<Record<string, string[]>> {
  const { deployment } = (await stack.export()) as unknown as {
    deployment: { resources: { inputs?: { create?: string; stdin?: string } }[] };
  };
  const lines: Record<string, Set<string>> = {};
  for (const { inputs } of deployment.resources) {
    const host = /^HOST='(\w+) /.exec(inputs?.stdin ?? "")?.[1];
    if (host) (lines[host] ??= new Set()).add(inputs?.create ?? "");
  }
  return Object.fromEntries(Object.entries(lines).map(([host, set]) => [host, [...set].sort()]));
}
