import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { inputError } from "./inputError.ts";
import { keyMistake } from "./privateKey.ts";

/** How Pulumi reaches a host, or its bastion. */
export interface AdminLogin {
  /** Name or address. */
  address: string;
  /** @default 22 */
  port?: number;
  /** root, or an account that can use `sudo -n`. @default "root" */
  user?: string;
  /** A private key, as a secret. */
  privateKey?: string;
  /** A file with a private key on the machine that runs Pulumi; `~/` is the home there. */
  privateKeyFile?: string;
  /** The passphrase of an encrypted private key, as a secret. */
  passphrase?: string;
  /** A password, as a secret. */
  password?: string;
  /** The socket of an ssh-agent. @default SSH_AUTH_SOCK, if it is set */
  agentSocketPath?: string;
  /** The host key, `type base64`. @default the one in the runner's known_hosts */
  hostKey?: string;
  /** The known_hosts files to use if there is no hostKey; `~/` is the runner's home. @default ~/.ssh/known_hosts */
  knownHostsFile?: string | string[];
  /** The name to look up there, as HostKeyAlias of ssh_config(5). @default its address, with the port if it is not 22 */
  hostKeyAlias?: string;
}

/** The admin connection of a host. */
export interface AdminConnection extends AdminLogin {
  /** A jump host on the way. */
  bastion?: AdminLogin;
  /** Accept any host key, with a warning. For experiments only. @default false */
  acceptAnyHostKey?: boolean;
}

/**
 * The connection for the command provider. Throws if a file cannot be read or no host key is known: there
 * is no trust on first use.
 */
export function adminConnection(
  name: string,
  admin: AdminConnection,
): command.types.input.remote.ConnectionArgs {
  if (admin.acceptAnyHostKey) {
    void pulumi.log.warn(
      `${name} (${admin.address}): acceptAnyHostKey is set, so whoever answers at this address becomes its admin's trusted host; set hostKey instead`,
    );
  }
  return {
    ...login(name, admin, admin.acceptAnyHostKey === true),
    ...(admin.bastion ? { proxy: login(`${name}, bastion`, admin.bastion, false) } : {}),
  };
}

type Connection = command.types.input.remote.ConnectionArgs;

/**
 * The connection to an internal host through its tunnel: from the public host to the listener of a forward to its sshd.
 *
 * @param inside the internal host's login; its address and port are not used
 * @param outside the public host's admin connection. Throws if it has a bastion: the provider supports only one proxy.
 * @param listener address and port of the forward on the public host
 */
export function throughTunnel(
  inside: Connection,
  outside: Connection,
  listener: { address: string; port: number },
): Connection {
  if (outside.proxy) {
    throw inputError(
      "a connection through the tunnel starts on the public host, which is itself behind a bastion; the command provider supports only one host on the way",
    );
  }
  const { host, port, user, password, privateKey, privateKeyPassword, agentSocketPath, hostKey } = outside;
  const proxy = { host, port, user, password, privateKey, privateKeyPassword, agentSocketPath, hostKey };
  return { ...inside, host: listener.address, port: listener.port, proxy: { ...proxy, perDialTimeout: 10 } };
}

function login(
  name: string,
  admin: AdminLogin,
  anyHostKey: boolean,
): Omit<command.types.input.remote.ConnectionArgs, "proxy"> {
  const port = admin.port ?? 22;
  const privateKey = privateKeyOf(name, admin);
  return {
    host: admin.address,
    port,
    user: admin.user ?? "root",
    ...(privateKey ? { privateKey: pulumi.secret(`${privateKey.trimEnd()}\n`) } : {}),
    ...(admin.passphrase ? { privateKeyPassword: pulumi.secret(admin.passphrase) } : {}),
    ...(admin.password ? { password: pulumi.secret(admin.password) } : {}),
    ...(admin.agentSocketPath ? { agentSocketPath: admin.agentSocketPath } : {}),
    ...(anyHostKey ? {} : { hostKey: admin.hostKey ?? knownHostKey(name, admin) }),
    perDialTimeout: 10,
  };
}

function privateKeyOf(
  name: string,
  { privateKey, privateKeyFile, passphrase }: AdminLogin,
): string | undefined {
  const text = privateKey ?? (privateKeyFile ? readKey(name, privateKeyFile) : undefined);
  const mistake = text ? keyMistake(text, Boolean(passphrase)) : undefined;
  if (mistake !== undefined) {
    const what = privateKey === undefined ? `private key file ${privateKeyFile}` : "private key";
    throw inputError(`${name}: the ${what} ${mistake}`);
  }
  return text;
}

function readKey(name: string, file: string): string {
  try {
    return readFileSync(expandHome(file), "utf8");
  } catch (error) {
    const { code } = error as { code?: string };
    throw inputError(
      `${name}: the private key file ${file} cannot be read${code === undefined ? "" : ` (${code})`}; correct privateKeyFile`,
      undefined,
      error,
    );
  }
}

/** The key of the host in the runner's known_hosts; ssh-keygen finds hashed names, and names with a port. */
function knownHostKey(name: string, admin: AdminLogin): string {
  const files = [admin.knownHostsFile ?? "~/.ssh/known_hosts"].flat().map(expandHome);
  const there = files.filter((file) => existsSync(file));
  const host =
    admin.hostKeyAlias ??
    (admin.port === undefined || admin.port === 22 ? admin.address : `[${admin.address}]:${admin.port}`);
  const found = there.map((file) => lookUp(name, file, host));
  const revoked = found.flatMap((each) => each.revoked);
  const keys = found.flatMap((each) => each.keys).filter((key) => !revoked.includes(key));
  // ed25519 if there are several, which OpenSSH itself prefers. No RSA: see hostKey in schema.ts.
  const key = ["ssh-ed25519 ", "ecdsa-"]
    .map((type) => keys.find((each) => each.startsWith(type)))
    .find(Boolean);
  if (files.length === 0) {
    throw inputError(
      `${name}: ssh's configuration names no known_hosts file in which the host key of ${host} could be; set hostKey to the host's /etc/ssh/ssh_host_ed25519_key.pub, or set knownHostsFile`,
    );
  }
  if (!key) {
    throw inputError(
      `${name}: no ed25519 or ecdsa host key for ${host} in ${(there.length > 0 ? there : files.slice(0, 1)).join(" or ")}; log in once with ssh and compare the key that it shows, or set hostKey to the host's /etc/ssh/ssh_host_ed25519_key.pub`,
    );
  }
  return key;
}

function lookUp(name: string, file: string, host: string): { keys: string[]; revoked: string[] } {
  let found: string;
  try {
    found = execFileSync("ssh-keygen", ["-F", host, "-f", file], { encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { code, status, stderr, message } = error as Error & {
      code?: string;
      status?: number;
      stderr?: string;
    };
    if (code === "ENOENT") {
      throw inputError(
        `${name}: there is no ssh-keygen on the PATH here to look up the host key in ${file}; install OpenSSH's client, or set hostKey`,
        undefined,
        error,
      );
    }
    if (status !== 1) {
      throw inputError(
        `${name}: ssh-keygen cannot look up the host key in ${file} (${(stderr ?? message).trim()}); correct knownHostsFile, or set hostKey`,
        undefined,
        error,
      );
    }
    return { keys: [], revoked: [] }; // the host is not in the file
  }
  // "type base64" after the names and, on some lines, a marker: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
  const lines = found.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const keys = (marked: (line: string) => boolean) =>
    lines.filter(marked).map((line) =>
      line
        .replace(/^@\S+\s+/, "")
        .split(/\s+/)
        .slice(1, 3)
        .join(" "),
    );
  return {
    keys: keys((line) => !line.startsWith("@")),
    revoked: keys((line) => line.startsWith("@revoked")),
  };
}

/** A path of the settings, in which `~/` is the home of the user who runs Pulumi. */
export function expandHome(file: string): string {
  return file.startsWith("~/") ? join(homedir(), file.slice(2)) : file;
}
