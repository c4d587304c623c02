import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SshKey {
  privateKey: string;
  /** Type and key, as in a setting `hostKey`. */
  publicLine: string;
}

/** A new key pair, created with ssh-keygen(1): by default in OpenSSH's own format, and without a passphrase. */
export function newSshKey(
  type: "ed25519" | "ecdsa" | "rsa" = "ed25519",
  { passphrase = "", format = "RFC4716" } = {},
): SshKey {
  const folder = mkdtempSync(join(tmpdir(), "ssh-key-"));
  const file = join(folder, "key");
  try {
    execFileSync("ssh-keygen", ["-q", "-t", type, "-m", format, "-N", passphrase, "-f", file]);
    const [algorithm, key] = readFileSync(`${file}.pub`, "utf8").split(" ");
    return { privateKey: readFileSync(file, "utf8"), publicLine: `${algorithm} ${key}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
