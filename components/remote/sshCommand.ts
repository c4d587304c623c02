/** The system's own ssh for an admin connection: it trusts only the pinned host key, and uses only that login's key. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { hostPort } from "../settings/forward.ts";
import type { Host } from "./host.ts";
import { shellQuote } from "./shellQuote.ts";

/** A command line to which a remote command is added. */
export interface SshCommand {
  /** Where the host is, for messages. */
  address: string;
  file: string;
  args: string[];
  env: NodeJS.ProcessEnv;
}

/**
 * @param connection as the command provider takes it, with or without a bastion
 * @param folder where keys and passwords are while the command runs, readable only by the user; the caller removes it
 */
export async function sshCommand(connection: Host["connection"], folder: string): Promise<SshCommand> {
  const [login, proxy] = await Promise.all([known(connection), known(connection.proxy ?? {})]);
  // ssh's questions are answered from a file, never on a command line or in the environment. A host can word its questions as
  // it likes, but does not know where the key is; so it never gets the key's passphrase.
  const askpass = join(folder, "askpass");
  writeFileSync(
    askpass,
    '#!/bin/sh\ncase $1 in "Enter passphrase for key \'$(printf %.100s "$SSH_TUNNEL_LOGIN.key")\'"*) cat "$SSH_TUNNEL_LOGIN.passphrase" ;; *) cat "$SSH_TUNNEL_LOGIN.password" ;; esac\n',
    { mode: 0o700 },
  );
  const args = options(login, join(folder, "host"));
  if (proxy.host !== undefined) {
    const words = ["env", `SSH_TUNNEL_LOGIN=${join(folder, "proxy")}`, "ssh"];
    words.push(
      ...options(proxy, join(folder, "proxy")),
      "-W",
      hostPort(String(login.host), Number(login.port ?? 22)),
    );
    words.push(String(proxy.host));
    args.push("-o", `ProxyCommand=${words.map(shellQuote).join(" ").replaceAll("%", "%%")}`);
  }
  return {
    address: String(login.host),
    file: "ssh",
    args: [...args, String(login.host)],
    env: {
      ...process.env,
      SSH_ASKPASS: askpass,
      SSH_ASKPASS_REQUIRE: "force",
      SSH_TUNNEL_LOGIN: join(folder, "host"),
    },
  };
}

type Value = string | number | undefined;
type Login = Record<string, Value>;

/** Its values, secrets unwrapped. */
async function known(login: object): Promise<Login> {
  const entries = Object.entries(login).map(async ([key, value]): Promise<[string, Value]> => [
    key,
    await valueOf(value as pulumi.Input<Value>),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

function valueOf(input: pulumi.Input<Value>): Promise<Value> {
  return new Promise((resolve) => pulumi.output(input).apply(resolve));
}

/** Options of ssh for one login, whose secrets are written to files that begin with `file`. */
function options(login: Login, file: string): string[] {
  const write = (what: string, content: Value) =>
    writeFileSync(`${file}.${what}`, content === undefined ? "" : `${String(content).trimEnd()}\n`, {
      mode: 0o600,
    });
  write("known_hosts", login.hostKey === undefined ? undefined : `host ${login.hostKey}`);
  write("key", login.privateKey);
  write("passphrase", login.privateKeyPassword);
  write("password", login.password);
  const methods = login.password === undefined ? "publickey" : "publickey,keyboard-interactive,password";
  const asks = login.privateKeyPassword !== undefined || login.password !== undefined;
  const settings = {
    Port: login.port ?? 22,
    User: login.user ?? "root",
    HostKeyAlias: "host",
    UserKnownHostsFile: `"${file}.known_hosts"`,
    GlobalKnownHostsFile: "/dev/null",
    // There is none only if the settings accept any host key.
    StrictHostKeyChecking: login.hostKey === undefined ? "no" : "yes",
    IdentityFile: login.privateKey === undefined ? "none" : `"${file}.key"`,
    IdentitiesOnly: login.privateKey === undefined ? "no" : "yes",
    ...(login.agentSocketPath === undefined ? {} : { IdentityAgent: `"${login.agentSocketPath}"` }),
    BatchMode: asks ? "no" : "yes",
    PreferredAuthentications: methods,
    NumberOfPasswordPrompts: 1,
    ConnectTimeout: 10,
    LogLevel: "ERROR",
  };
  return [
    "-F",
    "/dev/null",
    "-T",
    ...Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
  ];
}
