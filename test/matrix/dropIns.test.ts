import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools } from "../../lab/program.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";

describe("the check of the administrator's sshd drop-ins", () => {
  let lab: Lab;
  let gate: Host;
  let stack: LabStack;

  beforeAll(async () => {
    lab = await Lab.up({ name: "dropins", hosts: ["gate"] });
    gate = lab.host("gate");
    stack = await openStack({
      project: "p",
      stack: "s",
      program: () => Promise.resolve(void new SshServer("server", { host: hostWithTools(lab, gate) })),
      directory: `${lab.directory}/stacks/s`,
    });
  });

  afterAll(() => Lab.clear("dropins"));

  const folder = "/etc/ssh/sshd_config.d";

  afterEach(async () => {
    await stack.destroy();
    await gate.run(`find ${folder} -type f -delete && systemctl reload ssh`);
  });

  it.each([
    ["a space in its name", "60 my own.conf", "AllowUsers root admin"],
    ["a newline in its name", "60\nown.conf", "AllowUsers root admin"],
    ["a pattern as a name", "60-[a]*.conf", "AllowUsers root admin"],
    ["an equals sign", "60.conf", "AllowUsers=root admin"],
    ["an equals sign with tabs around it", "60.conf", "\tallowusers\t=\troot\tadmin"],
    ["quotes", "60.conf", '"AllowUsers" "root" admin'],
    ["a comment at the end of the line", "60.conf", "AllowUsers root admin # nobody else"],
  ])("finds the accounts that they allow if a drop-in has %s", async (_what, name, text) => {
    await gate.run(`cat >${shellQuote(`${folder}/${name}`)} && systemctl reload ssh`, { input: `${text}\n` });
    const { diagnostics } = await stack.up();
    expect(diagnostics).toEqual([]);
    expect((await gate.run(`head -n 1 ${folder}/00-p-s.conf`)).stdout).toMatch(
      /^AllowUsers .*root.*admin tunnel-\*$/,
    );
    expect(new Set((await gate.run("sshd -T | grep ^allowusers")).stdout.split("\n"))).toEqual(
      new Set(["root", "admin", "tunnel-*"].map((user) => `allowusers ${user}`)),
    );
  });
});
