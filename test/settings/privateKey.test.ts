import { describe, expect, test } from "vitest";
import { keyMistake } from "../../components/settings/privateKey.ts";
import { newSshKey } from "../support/sshKey.ts";

// What golang.org/x/crypto/ssh can read, tested with the keys that ssh-keygen writes.

const types = ["ed25519", "ecdsa", "rsa"] as const;
const formats = ["RFC4716", "PEM", "PKCS8"];
const pairs = types.flatMap((type) => formats.map((format) => [type, format] as const));
const newKey = (type: (typeof types)[number], format: string, passphrase: string) =>
  newSshKey(type, { format, passphrase }).privateKey;

describe.each(pairs)("a private key of the type %s in the format %s", (type, format) => {
  // ssh-keygen writes ed25519 keys only in its own format.
  const readable = format !== "PKCS8" || type === "ed25519";

  test("is accepted without a passphrase if it is not encrypted", () => {
    const key = newKey(type, format, "");
    expect(keyMistake(key, false)).toBeUndefined();
    expect(keyMistake(key.trimEnd(), false)).toBeUndefined();
    expect(keyMistake(key.replaceAll("\n", "\r\n"), false)).toBeUndefined();
    expect(keyMistake(key, true)).toBe(
      "is not encrypted, and the command provider then accepts no passphrase; leave out passphrase",
    );
  });

  test("needs its passphrase if it is encrypted, and a format that the provider can decrypt", () => {
    const key = newKey(type, format, "hunter2");
    const unreadable =
      "is a 'ENCRYPTED PRIVATE KEY', which the command provider cannot read; 'ssh-keygen -p -f <key>' rewrites it in OpenSSH's format";
    expect(keyMistake(key, true)).toBe(readable ? undefined : unreadable);
    expect(keyMistake(key, false)).toBe(
      readable
        ? "is encrypted; set its passphrase as a secret, or leave it out, and add it to your ssh-agent with ssh-add"
        : unreadable,
    );
  });
});

describe("a text that is not a private key is refused:", () => {
  const { privateKey, publicLine } = newSshKey();
  const notOne =
    "is not a private key in OpenSSH's format, which begins and ends with a line of its own; correct it";

  test.each([
    ["a word", "KEY", notOne],
    ["a key whose line breaks were lost", privateKey.replaceAll("\n", " "), notOne],
    ["a key whose end was lost", privateKey.slice(0, 200), notOne],
    [
      "a key of PuTTY's",
      "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
      `${notOne}: 'puttygen <key> -O private-openssh' converts it`,
    ],
    [
      "a public key",
      `${publicLine} alice@laptop\n`,
      "is the public half of a key; use the file without .pub",
    ],
  ])("%s", (_what, text, mistake) => {
    expect(keyMistake(text, false)).toBe(mistake);
  });
});

test("a key in a security key is refused, since only an agent can use it", () => {
  const string = (text: string) => {
    const bytes = Buffer.from(text, "latin1");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const one = Buffer.from([0, 0, 0, 1]);
  const publicKey = string("sk-ssh-ed25519@openssh.com").toString("latin1");
  const header = [string("none"), string("none"), string(""), one, string(publicKey)];
  const body = Buffer.concat([Buffer.from("openssh-key-v1\0"), ...header]).toString("base64");
  expect(
    keyMistake(`-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----\n`, false),
  ).toBe(
    "needs its security key for each login, which the command provider can use only through an ssh-agent; leave it out, and add it to the agent with ssh-add",
  );
});
