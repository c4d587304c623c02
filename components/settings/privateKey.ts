/**
 * Why the command provider cannot log in with a private key, to be put after its name; undefined if no reason is known.
 * The provider reads a key with `ParsePrivateKey` of golang.org/x/crypto/ssh, which knows fewer formats than OpenSSH.
 */
export function keyMistake(text: string, hasPassphrase: boolean): string | undefined {
  const [, type = "", body = ""] = /^-----BEGIN ([^\n]+)-----\r?\n([^]*?)^-----END \1-----/m.exec(text) ?? [];
  if (type === "") {
    return /^(ssh|ecdsa|sk)-\S+ AAAA/.test(text.trimStart())
      ? "is the public half of a key; use the file without .pub"
      : `is not a private key in OpenSSH's format, which begins and ends with a line of its own; correct it${text.startsWith("PuTTY-") ? ": 'puttygen <key> -O private-openssh' converts it" : ""}`;
  }
  if (!/^((RSA|EC|DSA|OPENSSH) )?PRIVATE KEY$/.test(type)) {
    return `is a '${type}', which the command provider cannot read; 'ssh-keygen -p -f <key>' rewrites it in OpenSSH's format`;
  }
  const header = type === "OPENSSH PRIVATE KEY" ? openSshHeader(body) : undefined;
  if (/^sk-/.test(header?.type ?? "")) {
    return "needs its security key for each login, which the command provider can use only through an ssh-agent; leave it out, and add it to the agent with ssh-add";
  }
  const encrypted = header ? header.cipher !== "none" : /^Proc-Type: *4, *ENCRYPTED/m.test(body);
  if (encrypted && !hasPassphrase) {
    return "is encrypted; set its passphrase as a secret, or leave it out, and add it to your ssh-agent with ssh-add";
  }
  if (!encrypted && hasPassphrase) {
    return "is not encrypted, and the command provider then accepts no passphrase; leave out passphrase";
  }
  return undefined;
}

/** The cipher and the type of a key, which are not encrypted: PROTOCOL.key of OpenSSH. */
function openSshHeader(body: string): { cipher: string; type: string } {
  const bytes = Buffer.from(body, "base64");
  let at = "openssh-key-v1\0".length;
  const string = () => {
    const from = at + 4;
    at = from + (from <= bytes.length ? bytes.readUInt32BE(at) : 0);
    return bytes.toString("latin1", from, at);
  };
  const [cipher] = [string(), string(), string()];
  at += 4 + 4; // how many keys, and how long the first one is
  return { cipher, type: string() };
}
