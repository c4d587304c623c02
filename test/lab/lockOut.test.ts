import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { authorizedKey } from "../../components/parts/authorizedKey/authorizedKey.ts";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { onePart } from "../support/onePart.ts";
import { remoteScripts } from "./support/remoteScripts.ts";

/** What must never happen: that we lock out a host's admin, or that an account makes root write for it. */
describe("the protection against lock-outs", () => {
  let lab: Lab;
  let gate: Host;
  let stack: LabStack;
  let allowUsers: string[] | undefined;

  const host = () => hostWithTools(lab, gate);

  beforeAll(async () => {
    lab = await Lab.up({ name: "lockout", hosts: ["gate"] });
    gate = lab.host("gate");
    stack = await openStack({
      project: "p",
      stack: "s",
      program: () => Promise.resolve(void new SshServer("server", { host: host(), allowUsers })),
      directory: `${lab.directory}/stacks/s`,
    });
  });

  afterAll(async () => {
    await lab?.down();
  });

  const dropIn = "/etc/ssh/sshd_config.d/00-p-s.conf";
  const own = "/etc/ssh/sshd_config.d/50-own.conf";

  afterEach(async () => {
    await gate.run(`rm -f ${own}; systemctl restart ssh`);
    allowUsers = undefined;
    await stack.destroy();
    expect(
      (
        await gate.run(`ls -d ${dropIn} /var/lib/*rollback* /etc/systemd/system/*rollback*`, {
          allowFailure: true,
        })
      ).stdout,
    ).toBe("");
  });

  // A reload closes sshd's listener for a moment: a connection refused then does not prove anything about the login.
  const mayLogIn = async (user: string): Promise<boolean> =>
    (
      await exec(
        "ssh",
        [
          "-F",
          lab.sshConfigFile,
          "-o",
          "BatchMode=yes",
          "-o",
          "ConnectionAttempts=5",
          "-l",
          user,
          "gate",
          "true",
        ],
        {
          allowFailure: true,
        },
      )
    ).exitCode === 0;

  /** The text of the script that changes sshd, as Pulumi sent it. */
  const changeScript = async (): Promise<string> =>
    (await remoteScripts(stack)).find(({ name }) => name === "server-change")?.stdin ?? "";

  it("restores the old configuration after a power cut in the minute after the change", async () => {
    allowUsers = ["root", "admin"];
    await stack.up();
    const script = await changeScript();
    await stack.destroy();
    // As when the runner dies between change and confirmation.
    await gate.run("sh -s -- apply", { input: script });
    expect((await gate.run("sshd -T | grep -c ^allowusers")).stdout).toBe("3");
    await gate.powerCut();
    await gate.boot();
    expect((await gate.run("sshd -T | grep -c ^allowusers || :")).stdout).toBe("0");
    expect(await mayLogIn("alice")).toBe(true);
    await stack.up(); // and continues from here
    expect((await gate.run("sshd -T | grep -c ^allowusers")).stdout).toBe("3");
  });

  it("does not confirm a drop-in that a killed run left unchecked", async () => {
    allowUsers = ["root", "admin"];
    await stack.up();
    const bad = (await changeScript()).replace("AllowUsers root admin", "AllowUsers alice");
    // Killed between writing and checking.
    const killed = await gate.run("sh -s -- apply", {
      input: bad.replace(/^refusal\(\) \{/m, () => "refusal() {\n  kill -KILL $$"),
      allowFailure: true,
    });
    expect((await gate.run(`cat ${dropIn}`)).stdout, killed.stderr).toContain("AllowUsers alice");
    const again = await gate.run("sh -s -- apply", { input: bad, allowFailure: true });
    expect(again.stderr).toContain("AllowUsers would lock out the admin 'root' at the next reload");
    expect((await gate.run(`cat ${dropIn}`)).stdout).toContain("AllowUsers root admin");
    await gate.run("systemctl reload ssh");
    expect(await mayLogIn("root")).toBe(true);
  });

  it.each([
    [
      "AllowUsers are in a file that sshd does not read",
      "AllowUsers root",
      "sed -i '/^Include/d' /etc/ssh/sshd_config",
    ],
    ["AllowUsers name some of them, and where they come from", "AllowUsers root@198.18.0.0/15 alice", "true"],
    ["AllowGroups do", "AllowGroups root alice ssh-tunnel", "true"],
  ])("lets every account with a login shell log in as before if %s", async (_what, text, command) => {
    await gate.run(
      `cp -a /etc/ssh/sshd_config /root/before; ${command}; echo '${text}' >${own}; systemctl reload ssh`,
    );
    const everyone = (
      await gate.run("grep -vE '(nologin|false|sync)$' /etc/passwd | cut -d: -f1")
    ).stdout.split("\n");
    expect(everyone).toEqual(expect.arrayContaining(["root", "admin", "alice"]));
    const logins = () => Promise.all(everyone.map(async (user) => [user, await mayLogIn(user)]));
    const before = await logins();
    expect(before).toContainEqual(["alice", true]);
    await stack.up();
    expect(await logins()).toEqual(before);
    await stack.destroy();
    expect(await logins()).toEqual(before);
    await gate.run("mv /root/before /etc/ssh/sshd_config");
  });

  it("lets the admin remove the host's own AllowUsers and still log in", async () => {
    await gate.run(`echo 'AllowUsers root admin alice' >${own}; systemctl reload ssh`);
    await stack.up();
    await gate.run(`rm ${own}; systemctl reload ssh`);
    expect(await mayLogIn("root")).toBe(true);
    expect(await mayLogIn("alice")).toBe(true);
  });

  it("keeps out nobody else if the host's AllowUsers are in a Match block", async () => {
    await gate.run(`printf 'Match LocalPort 2222\\n    AllowUsers root\\n' >${own}; systemctl reload ssh`);
    await stack.up();
    expect(await mayLogIn("alice")).toBe(true);
  });

  it("keeps the admin's access in a destroy that would activate an unloaded setting of the host's own", async () => {
    await stack.up();
    await gate.run(`echo 'AllowUsers alice' >${own}`);
    const { diagnostics } = await stack.destroy();
    expect(await mayLogIn("root")).toBe(true);
    expect(diagnostics.join("\n")).not.toContain("error");
  });

  it("keeps sshd running through a destroy while the host's own configuration has a mistake", async () => {
    await stack.up();
    await gate.run(`echo 'Nonsense yes' >${own}`);
    await stack.destroy();
    expect((await gate.run("systemctl is-active ssh")).stdout).toBe("active");
    expect(await mayLogIn("root")).toBe(true);
  });

  it("restores an sshd_config that has no Include, after a working change and a destroy", async () => {
    await gate.run("cp -a /etc/ssh/sshd_config /root/before; sed -i '/^Include/d' /etc/ssh/sshd_config");
    const before = (await gate.run("sha256sum </etc/ssh/sshd_config")).stdout;
    allowUsers = ["root", "admin"];
    await stack.up();
    expect((await gate.run("head -n 1 /etc/ssh/sshd_config")).stdout).toBe(`Include ${dropIn}`);
    expect(await mayLogIn("alice")).toBe(false);
    await stack.destroy();
    expect((await gate.run("sha256sum </etc/ssh/sshd_config")).stdout).toBe(before);
    await gate.run("mv /root/before /etc/ssh/sshd_config");
  });

  it("writes nothing where an account's link leads", async () => {
    await gate.run(
      "su alice -c 'mv ~/.ssh/authorized_keys ~/.ssh/kept; ln -s /etc/cron.d/evil ~/.ssh/authorized_keys'",
    );
    const keys = await openStack({
      project: "p",
      stack: "keys",
      program: () =>
        Promise.resolve(
          void onePart(
            "key",
            host(),
            authorizedKey({
              name: "key",
              account: "alice",
              publicKey: gate.hostKey,
              options: ["restrict"],
            }),
          ),
        ),
      directory: `${lab.directory}/stacks/keys`,
    });
    await expect(keys.up()).rejects.toThrow(
      "cannot write ~alice/.ssh/authorized_keys: it is a link to /etc/cron.d/evil, where alice may not write; make it a file of its own",
    );
    expect((await gate.run("ls /etc/cron.d/evil", { allowFailure: true })).exitCode).not.toBe(0);
    await gate.run("su alice -c 'mv ~/.ssh/kept ~/.ssh/authorized_keys'");
    await keys.destroy();
  });
});
