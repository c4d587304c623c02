import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import type { AdminLogin } from "./adminConnection.ts";
import { expandHome } from "./adminConnection.ts";
import { inputError } from "./inputError.ts";
import { keyMistake } from "./privateKey.ts";

/** How ssh on the machine that runs Pulumi would log in to a host. */
export interface SshConfig extends AdminLogin {
  port: number;
  user: string;
  /** The files of private keys that ssh would try, in order. IdentityFile. */
  identityFiles: string[];
  /** The jump host. ProxyJump. */
  bastion?: SshConfig;
}

/**
 * The runner's own ssh configuration for a host, as `ssh -G` prints it: ssh_config(5). Nothing is executed except what
 * `ssh -G` itself executes (`Match exec`).
 *
 * @param name what the user types after `ssh`
 * @param direct whether the host is reached in another way, so that its ProxyJump and ProxyCommand do not matter
 * @throws an error without the name: "there is no ssh …; install …"
 */
export function readSshConfig(name: string, direct = false): SshConfig {
  const options = printedFor(name);
  const one = (option: string) => {
    const value = options.get(option)?.[0];
    return value === "none" ? undefined : value;
  };
  const address = one("hostname") ?? name;
  const user = one("user") ?? userInfo().username;
  const jump = direct ? undefined : one("proxyjump");
  if (!direct && one("proxycommand") !== undefined) {
    throw inputError(
      `ssh's configuration for '${name}' has a ProxyCommand, which the command provider cannot run; use ProxyJump there, or set bastion`,
    );
  }
  if (jump?.includes(",")) throw severalHops(`'${name}' has several hosts in its ProxyJump (${jump})`);
  const bastion = jump === undefined ? undefined : readSshConfig(asUrl(jump));
  if (bastion?.bastion) throw severalHops(`the jump host '${jump}' of '${name}' has a ProxyJump of its own`);
  const alias = one("hostkeyalias");
  const agent = socketOf(one("identityagent"));
  const tokens = { h: address, n: name, r: user, d: homedir(), u: userInfo().username, "%": "%" };
  return {
    address,
    port: Number(one("port") ?? 22),
    user,
    identityFiles: (options.get("identityfile") ?? []).map((file) =>
      file.replaceAll(/%([hnrdu%])/g, (_, token: keyof typeof tokens) => tokens[token]),
    ),
    knownHostsFile: ["userknownhostsfile", "globalknownhostsfile"]
      .flatMap((option) => one(option)?.split(" ") ?? [])
      .filter((file) => file !== "/dev/null"),
    ...(alias === undefined ? {} : { hostKeyAlias: alias }),
    ...(agent === undefined ? {} : { agentSocketPath: agent }),
    ...(bastion ? { bastion } : {}),
  };
}

function severalHops(what: string): Error {
  return inputError(
    `ssh's configuration: ${what}, and the command provider supports only one host on the way; set bastion to one from which the host can be reached directly`,
  );
}

/**
 * The login for the command provider. It can try only one private key file, besides those of an ssh-agent: the first
 * that it can use. If it can use none, that is left to the agent, or reported for the first one.
 *
 * @param own what the settings have; none of it is replaced
 */
export function loginFrom(found: SshConfig, own: Partial<AdminLogin> = {}): AdminLogin {
  const { identityFiles, ...login } = found;
  delete login.bastion;
  if (own.privateKey !== undefined || own.privateKeyFile !== undefined || own.password !== undefined)
    return login;
  const hasAgent = (own.agentSocketPath ?? login.agentSocketPath ?? process.env.SSH_AUTH_SOCK ?? "") !== "";
  const there = identityFiles.filter((file) => existsSync(expandHome(file)));
  const usable = there.find((file) => isUsable(file, own.passphrase !== undefined));
  // ssh has a list of files that it tries if none is configured.
  const first = there[0] ?? (identityFiles.length === 1 ? identityFiles[0] : undefined);
  const file = usable ?? (hasAgent ? undefined : first);
  return { ...login, ...(file === undefined ? {} : { privateKeyFile: file }) };
}

function isUsable(file: string, hasPassphrase: boolean): boolean {
  try {
    return keyMistake(readFileSync(expandHome(file), "utf8"), hasPassphrase) === undefined;
  } catch {
    return false;
  }
}

/** What `ssh -G` prints: each option in lower case, with its values. */
function printedFor(name: string): Map<string, string[]> {
  const printed = new Map<string, string[]>();
  for (const line of run(name).split("\n")) {
    const [, option = "", value = ""] = /^(\S+) (.*)$/.exec(line) ?? [];
    printed.set(option, [...(printed.get(option) ?? []), value]);
  }
  return printed;
}

function run(name: string): string {
  try {
    return execFileSync("ssh", ["-G", "--", name], { encoding: "utf8", stdio: "pipe", timeout: 30_000 });
  } catch (error) {
    const { code, stderr = "", message } = error as Error & { code?: string; stderr?: string };
    if (code === "ENOENT") {
      throw inputError(
        "there is no ssh on the PATH here to read its configuration with; install OpenSSH's client, or set address, user and privateKeyFile instead",
        undefined,
        error,
      );
    }
    const why = stderr.trim().split("\n").at(-1) || message;
    throw inputError(`'ssh -G ${name}' fails (${why}); correct ssh's configuration`, undefined, error);
  }
}

/** A host of ProxyJump, `[user@]host[:port]` or a URL, as a destination of ssh. */
function asUrl(jump: string): string {
  return jump.startsWith("ssh://") ? jump : `ssh://${jump}`;
}

/** IdentityAgent: a path, or the name of a variable. SSH_AUTH_SOCK is used anyway. */
function socketOf(agent: string | undefined): string | undefined {
  if (agent === undefined || agent === "SSH_AUTH_SOCK") return undefined;
  return agent.startsWith("$") ? process.env[agent.replaceAll(/[${}]/g, "")] : expandHome(agent);
}
