import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sshCommand } from "../../components/remote/sshCommand.ts";
import { newSshKey } from "../support/sshKey.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ssh-command-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const login = { host: "198.18.0.2", hostKey: "ssh-ed25519 AAAA", privateKeyPassword: "S3cret" };
const { privateKey } = newSshKey("ed25519", { passphrase: "S3cret" });

describe("ssh to an admin connection", () => {
  /** What is answered to a question. */
  const answer = async (question: string, own: object = {}): Promise<string> => {
    const { env } = await sshCommand({ ...login, privateKey, ...own }, folder);
    return execFileSync(env.SSH_ASKPASS!, [question], { env, encoding: "utf8" });
  };

  test("gets the key's passphrase for the key, and no host gets it, whatever it asks", async () => {
    expect(await answer(`Enter passphrase for key '${folder}/host.key': `)).toBe("S3cret\n");
    for (const question of [
      "passphrase please",
      "Enter passphrase for key '/root/.ssh/id': ",
      "Password: ",
    ]) {
      expect(await answer(question)).toBe("");
    }
    expect(await answer("Enter passphrase for key '/x': ", { password: "word" })).toBe("word\n");
  });

  test("is asked nothing by a host without a password, and may be with one", async () => {
    const { args } = await sshCommand({ ...login, privateKey }, folder);
    expect(args).toContain("PreferredAuthentications=publickey");
    const { args: asked } = await sshCommand({ ...login, password: "word" }, folder);
    expect(asked).toContain("PreferredAuthentications=publickey,keyboard-interactive,password");
  });

  test("answers ssh's question about a key with a long name, of which it names the first 100 characters", async () => {
    folder = mkdtempSync(join(folder, "x".repeat(120)));
    expect(await answer(`Enter passphrase for key '${folder.slice(0, 100)}': `)).toBe("S3cret\n");
  });
});
